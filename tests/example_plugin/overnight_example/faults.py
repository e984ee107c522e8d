"""Faults that task `quadratic` can be ordered to commit: how one trial can harm its machine and its study."""

import json
import math
import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path


def deaf(context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def daemon(context):
    """Start a grandchild that leaves everything behind by which it could be found, then go on."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            (context.cache / "daemon.pid").write_text(str(os.getpid()))
            os.closerange(0, 1024)
            code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
            os.execve(sys.executable, [sys.executable, "-c", code], {})
        os._exit(0)
    while not (context.cache / "daemon.pid").exists():
        time.sleep(0.01)


def fork_bomb(context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            os.fork()
        except OSError:
            continue


def memory_bomb(context):
    held = []
    while True:
        held.append(b"\1" * (8 << 20))


def gibibyte(context):
    """One line of binary, of terminal escapes and of what is not UTF-8, and a failure after it."""
    block = (os.urandom(1 << 10) + b"\x1b[2J\x1b]0;owned\x07\xff\xfe\xc3(").replace(b"\n", b"")
    block = block * ((1 << 20) // len(block))
    for _ in range((1 << 30) // len(block) + 1):
        sys.stdout.buffer.write(block)
    sys.stdout.flush()
    os._exit(3)


def fill_disk(context):
    for number in range(1_000_000):
        (context.checkpoint_dir / f"{number}.bin").write_bytes(b"\1" * (1 << 20))


def big_file(context):
    with (context.checkpoint_dir / "big.bin").open("wb") as file:
        while True:
            file.write(b"\1" * (1 << 20))


def trespass(context):
    """Write over, delete and add to whatever of the study is not this job's; says what was refused."""
    here = Path.cwd()
    study = here.parent.parent
    others = [path for path in here.parent.iterdir() if path != here]
    targets = [study / "journal.db", study / "trials" / "0000" / "log.txt", *others]
    done = []
    for target in targets:
        for harm in (_overwrite, _delete, _add):
            try:
                harm(target)
                done.append(f"{harm.__name__} {target}")
            except PermissionError:
                continue
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue  # the other job ended meanwhile

    raise PermissionError(f"{len(targets)} places tried, done: {done}")


def _overwrite(target):
    with (target / "log.txt" if target.is_dir() else target).open("r+b") as file:
        file.write(b"trespassed")


def _delete(target):
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()


def _add(target):
    (target / "trespassed" if target.is_dir() else target.with_name("trespassed")).write_text("trespassed")


def infinite(context):
    for step in range(1, 1000):
        context.report(step, 1000, loss=math.inf)
        time.sleep(0.05)


TRAINING = {
    "deaf": deaf, "daemon": daemon, "fork_bomb": fork_bomb, "memory_bomb": memory_bomb, "gibibyte": gibibyte,
    "fill_disk": fill_disk, "big_file": big_file, "trespass": trespass, "infinite": infinite,
}  # fmt: skip


def spoil_checkpoint(fault, folder):
    """What is left in the checkpoint's folder once it was written."""
    weights = folder / "weights.json"
    if fault == "corrupt_checkpoint":
        weights.write_bytes(b"\xff" + weights.read_bytes()[1:])
    if fault == "torn_checkpoint":
        weights.write_text(json.dumps({"x": 0.0, "luck": 1.0})[:-4])
    if fault == "partial_checkpoint":
        weights.rename(folder / "weights.json.tmp")


def spoil_evaluation(fault, evaluation):
    """The evaluation that is returned in place of the right one."""
    if fault == "huge_score":
        return replace(evaluation, value=1e308)
    if fault == "infinite_score":
        return replace(evaluation, value=math.inf, high=math.inf)
    if fault == "missing_score":
        return replace(evaluation, n=0, items=())
    if fault == "duplicate_score":
        return replace(evaluation, n=evaluation.n + 1, items=(*evaluation.items, evaluation.items[0]))
    return evaluation
