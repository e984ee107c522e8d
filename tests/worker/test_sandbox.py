"""The sandbox: what a patched program cannot do, and that training in it is training."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.contracts import Job, NotYet
from core.worker import bubblewrap
from core.worker.result import JobResult, read_result
from overnight_executor_local.config import LocalConfig
from overnight_executor_local.executor import LocalExecutor

pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None or subprocess.run(["bwrap", "--ro-bind", "/", "/", "true"], check=False).returncode,
    reason="bubblewrap cannot start here",
)
_SECRET = "hunter2-of-the-controller"


class Machine:
    """A job folder for a patched script, and whatever lies beside it."""

    def __init__(self, home: Path) -> None:
        self.home, self.job, self.folder = home, home / "jobs" / "job", home / "task"
        self.folder.mkdir(parents=True)
        (self.folder / "train.py").write_text("print('score=0.1')")
        (self.folder / "program.md").write_text("Anything.")
        (self.folder / "answers.json").write_text("42")
        (home / ".ssh").mkdir()
        (home / ".ssh" / "id_ed25519").write_text(_SECRET)
        (home / "jobs" / "other").mkdir(parents=True)
        self.env = {**os.environ, "HOME": str(home), "OVERNIGHT_CACHE": str(home / ".cache" / "overnight")}
        self.env |= {"API_KEY": _SECRET, "OVERNIGHT_OWNER": "study-1", "HF_HOME": str(home / ".cache" / "hf")}

    def order(self, text: str, **changes: Any) -> None:
        """Write the job of a trial whose patch made `text` of train.py."""
        (self.job / "program").mkdir(parents=True)
        (self.job / "program" / "train.py").write_text(text)
        space = {"x": {"type": "float", "low": 0.0, "high": 4.0, "default": 1.0}}
        task = {"name": "script", "folder": str(self.folder), "space": space, "prepare": None}
        spec = {"phase": "train", "task": {**task, **changes.pop("task", {})}, "params": {"x": 1.0}, "deadline_s": 60.0}
        spec |= {"program": ["train.py"], "sandbox": "on", **changes}
        (self.job / "spec.json").write_text(json.dumps(spec))

    def start(self, **more: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "core.worker"], cwd=self.job, env={**self.env, **more}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def train(self, text: str, **changes: Any) -> tuple[JobResult, str]:
        """The result and the log."""
        self.order(text, **changes)
        process = self.start()
        log, _ = process.communicate(timeout=60)
        result = read_result(self.job)
        assert result is not None, log
        return result, log


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a server on this machine's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept(), daemon=True).start()
        yield server.getsockname()[1]


_PROBE = """
import json, os, pathlib, socket, sys
found = {{}}
def attempt(name, action):
    try:
        found[name] = str(action())
    except Exception as error:
        found[name] = f"refused: {{type(error).__name__}}"
home = pathlib.Path({home!r})
attempt("loopback", lambda: socket.create_connection(("127.0.0.1", {port}), 3))
attempt("outside", lambda: socket.create_connection(("1.1.1.1", 53), 3))
attempt("interfaces", lambda: [name for _, name in socket.if_nameindex()])
attempt("ssh", lambda: (home / ".ssh" / "id_ed25519").read_text())
attempt("shadow", lambda: open("/etc/shadow").read())
attempt("answers", lambda: (home / "task" / "answers.json").read_text())
attempt("siblings", lambda: sorted(path.name for path in (home / "jobs").iterdir()))
attempt("order", lambda: (home / "jobs" / "job" / "spec.json").write_text("x"))
attempt("other job", lambda: (home / "jobs" / "other" / "x").write_text("x"))
attempt("cache", lambda: (pathlib.Path(os.environ["OVERNIGHT_CACHE"]) / "x").write_text("x"))
attempt("code", lambda: pathlib.Path({core!r}, "x").write_text("x"))
attempt("usr", lambda: pathlib.Path("/usr/x").write_text("x"))
attempt("root", lambda: pathlib.Path("/x").write_text("x"))
attempt("processes", lambda: sum(name.isdigit() for name in os.listdir("/proc")))
attempt("environment", lambda: json.dumps(dict(os.environ)))
environs = b""
for name in os.listdir("/proc"):
    if name.isdigit():
        environs += open(f"/proc/{{name}}/environ", "rb").read()
attempt("secret in proc", lambda: {secret!r}.encode() in environs)
attempt("tmp", lambda: pathlib.Path("/tmp/{mark}").write_text("ok"))
attempt("mount", lambda: os.system("mount -t tmpfs none /usr 2>/dev/null") or "mounted")
model = pathlib.Path(os.environ["AR_MODEL_DIR"])
(model / "model.json").write_text("trained")
(model / "link").symlink_to("/etc/passwd")
print("FOUND" + json.dumps(found))
print("score=0.5")
"""


def test_a_patched_program_sees_no_network_no_secrets_and_little_of_the_machine(
    machine: Machine, listening: int
) -> None:
    import core

    place, mark = str(Path(core.__file__).parent), f"overnight-sandbox-{os.getpid()}"
    probe = _PROBE.format(home=str(machine.home), port=listening, core=place, secret=_SECRET, mark=mark)
    result, log = machine.train(probe)
    assert (result.status, result.error) == ("succeeded", None), log
    found = json.loads(log.partition("FOUND")[2].splitlines()[0])
    for name in ("loopback", "outside", "ssh", "shadow", "answers", "other job", "cache", "code", "usr", "root"):
        assert found[name].startswith("refused"), (name, found[name])
    assert (machine.job / "spec.json").read_text() != "x"
    assert found["interfaces"] == "['lo']"
    assert found["siblings"] == "['job']"
    assert int(found["processes"]) <= 4
    assert _SECRET not in found["environment"] and found["secret in proc"] == "False"
    assert found["mount"] != "mounted"
    assert found["tmp"] == "2"
    assert not Path(f"/tmp/{mark}").exists()


def test_what_it_trained_comes_out_without_links(machine: Machine) -> None:
    text = "import os\nos.symlink('/etc/passwd', os.environ['AR_MODEL_DIR'] + '/link')\n"
    text += "os.mkfifo(os.environ['AR_MODEL_DIR'] + '/pipe')\nopen(os.environ['AR_MODEL_DIR'] + '/m', 'w').write('1')\n"
    result, _ = machine.train(text + "print('step: 1 loss=0.5 score=0.7')")
    assert result.status == "succeeded"
    assert sorted(path.name for path in (machine.job / "checkpoint").iterdir()) == ["m", "overnight_metrics.json"]
    lines = [json.loads(line) for line in (machine.job / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["metrics"]["score"] == 0.7
    assert not (machine.job / "inside").exists()


@pytest.mark.slow
def test_a_checkpoint_that_is_a_link_is_no_checkpoint(machine: Machine) -> None:
    target = machine.home / "precious"
    target.mkdir(mode=0o700)
    inside = machine.job / "inside"
    text = f"import os\nos.rename({str(inside / 'checkpoint')!r}, {str(inside / 'moved')!r})\n"
    text += f"os.symlink({str(target)!r}, {str(inside / 'checkpoint')!r})\nprint('score=1')"
    result, _ = machine.train(text)
    assert result.status == "failed"
    assert not (machine.job / "checkpoint").exists()
    assert target.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_forged_result_says_no_more_than_a_training_may(machine: Machine) -> None:
    forged = {"status": "succeeded", "evaluation": {"value": 1.0}, "details": {"a": float("inf"), "b": 1.0}, "x": 1}
    text = "import json, os, signal\n"
    text += f"open({str(machine.job / 'inside' / 'result.json')!r}, 'w').write({json.dumps(forged)!r})\n"
    text += "os.kill(os.getppid(), signal.SIGKILL)\nimport time; time.sleep(9)"
    result, _ = machine.train(text)
    assert result.evaluation is None
    assert result.details in ({}, {"b": 1.0})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("raise ValueError('out of luck')", "exception", "out of luck"),
        ("import os, signal; os.kill(os.getppid(), signal.SIGKILL)", "signal", "SIGKILL"),
        ("print('no score')", "exception", "score"),
    ],
)
def test_its_failures_are_the_trials(machine: Machine, text: str, kind: str, words: str) -> None:
    result, _ = machine.train(text)
    assert (result.status, result.error_kind) == ("failed", kind)
    assert words in (result.error or "")


def test_without_bubblewrap_it_does_not_run_unless_the_person_says_so(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = machine.home / "bin"
    tools.mkdir()
    for name in ("git", "true"):
        (tools / name).symlink_to(str(shutil.which(name)))
    machine.env["PATH"] = str(tools)
    result, log = machine.train("print('RAN score=1')")
    assert (result.status, result.error_kind) == ("failed", "setup")
    assert "apt-get install bubblewrap" in (result.error or "") and "sandbox=off" in (result.error or "")
    assert "RAN" not in log
    shutil.rmtree(machine.job)
    result, log = machine.train("print('RAN score=1')", sandbox="off")
    assert result.status == "succeeded"
    assert "RAN" in log


@pytest.mark.slow
def test_where_bubblewrap_cannot_start_the_message_says_why(machine: Machine) -> None:
    tools = machine.home / "bin"
    tools.mkdir()
    (tools / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    (tools / "bwrap").chmod(0o755)
    machine.env["PATH"] = f"{tools}:{os.environ['PATH']}"
    result, log = machine.train("print('RAN score=1')")
    assert result.error_kind == "setup"
    assert "No permissions to create new namespace" in (result.error or "")
    assert "RAN" not in log


@pytest.mark.slow
def test_further_paths_can_be_shown(machine: Machine) -> None:
    result, log = machine.train(
        f"print(open({str(machine.home / 'task' / 'answers.json')!r}).read()); print('score=1')",
        readable=[str(machine.home / "task")],
    )
    assert result.status == "succeeded"
    assert "42" in log


_LOOK = """
import os, pathlib
for path in {paths!r}:
    print(pathlib.Path(path).name, "SEEN" if os.path.exists(path) else "HIDDEN")
print("score=1")
"""


def test_models_of_the_hub_are_read_and_its_data_sets_are_not(machine: Machine) -> None:
    hub = machine.home / ".cache" / "hf" / "hub"
    texts = [hub / name / name[-1] for name in ("models--o--m", "datasets--o--d", "datasets--o--e")]
    for path in texts:
        path.parent.mkdir(parents=True)
        path.write_text("text")
    look = _LOOK.format(paths=[str(path) for path in texts])
    _, log = machine.train(look, readable=[str(hub / "datasets--o--e")])
    assert [line for line in log.splitlines() if line[2:] in ("SEEN", "HIDDEN")] == ["m SEEN", "d HIDDEN", "e SEEN"]


def test_data_sets_are_found_wherever_the_caches_are_said_to_be(tmp_path: Path) -> None:
    both = tmp_path / "both"
    for name in ("models--o--m", "datasets--o--d", "o___d"):
        (both / name).mkdir(parents=True)
    found = bubblewrap.datasets({"HF_HUB_CACHE": str(both), "HF_DATASETS_CACHE": str(both)})
    assert sorted(path.name for path in found) == ["datasets--o--d", "o___d"]
    found = bubblewrap.datasets({"HF_HUB_CACHE": str(both), "XDG_CACHE_HOME": "/cache"})
    assert found == [both / "datasets--o--d", Path("/cache/huggingface/datasets")]


@pytest.fixture
def system() -> Iterator[Path]:
    """A folder to stand for one of the system's; not below /tmp, which every sandbox has of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name).resolve() / "opt"


@pytest.mark.parametrize("linked", [False, True])
def test_held_out_answers_and_the_home_folder_are_hidden_in_the_systems_folders_too(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    (system / "home" / ".cache").mkdir(parents=True)
    home = tmp_path / "home"
    if linked:
        home.symlink_to(system / "home")
    else:
        home = system / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(bubblewrap, "_SYSTEM", (*bubblewrap._SYSTEM, str(system)))
    cache, sealed, inside = home / ".cache" / "ours", system / "ours-sealed", tmp_path / "job" / "inside"
    tool, secret = system / "tool", home / "secret"
    for folder in (cache, sealed, inside / "tmp", inside / "home"):
        folder.mkdir(parents=True)
    shown, hidden = (cache / "text", tool), (sealed / "text", secret, system / "home" / "secret")
    for path in (*shown, *hidden):
        path.write_text("text")
    look = "; ".join(f"test -e {path} && echo {path}" for path in (*shown, *hidden))
    command = ["bwrap", *bubblewrap.mounts(inside, [], [cache], [sealed]), "--", "sh", "-c", f"{look}; true"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(path) for path in shown]


def test_a_home_folder_that_is_a_part_of_the_system_is_left_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for home in ("/", "/usr", "/bin", "/etc"):
        monkeypatch.setenv("HOME", home)
        assert str(tmp_path / "home") not in bubblewrap.mounts(tmp_path, [], [], [])


def test_variables_of_the_gpu_are_let_through_and_keys_are_not() -> None:
    given = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_API_KEY": _SECRET, "NVIDIA_NIM_API_KEY": _SECRET}
    found = bubblewrap.environment({**given, "NVIDIA_NEW": _SECRET, "LC_ALL": "C", "LC_PASSWORD": _SECRET})
    assert (found["NVIDIA_VISIBLE_DEVICES"], found["LC_ALL"]) == ("all", "C")
    assert _SECRET not in found.values()


_SLEEPER = """
import os, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(300)  # {mark}"])
    os._exit(0)
open(os.environ["AR_MODEL_DIR"] + "/m", "w").write("1")
print("READY score=0.5", flush=True)
stop = os.environ["AR_CONTROL_FILE"]
for _ in range(3000):
    if os.path.exists(stop):
        print("asked to stop", flush=True)
        sys.exit(42)
    time.sleep(0.1)
"""


def _alive(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and any(mark in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _until_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if "READY" in line:
            return
    pytest.fail("training never began")


def test_sigkill_of_the_worker_leaves_nothing(machine: Machine) -> None:
    mark = f"overnight-sandbox-{os.getpid()}"
    machine.order(_SLEEPER.format(mark=mark))
    process = machine.start()
    _until_ready(process)
    end = time.monotonic() + 10
    while not _alive(mark) and time.monotonic() < end:
        time.sleep(0.05)
    assert _alive(mark), "the process that detached itself never began"
    process.kill()
    process.wait(10)
    end = time.monotonic() + 5
    while _alive(mark) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _alive(mark)


def test_sigterm_lets_it_save_and_then_nothing_lives(machine: Machine) -> None:
    mark = f"overnight-sandbox-{os.getpid()}-term"
    machine.order(_SLEEPER.format(mark=mark))
    process = machine.start()
    _until_ready(process)
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=30)
    result = read_result(machine.job)
    assert result is not None
    assert (result.status, result.stopped_early) == ("succeeded", True), log
    assert (machine.job / "checkpoint" / "m").exists()
    assert not _alive(mark)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancel", "supervisor killed"])
def test_under_the_local_executor_it_trains_and_its_tree_is_ended(machine: Machine, how: str) -> None:
    mark = f"overnight-sandbox-{os.getpid()}-{how.split()[0]}"
    machine.order(_SLEEPER.format(mark=mark))
    files = {"spec.json": machine.job / "spec.json", "program": machine.job / "program"}
    outputs = ("result.json", "checkpoint")
    command = ("python", "-m", "core.worker")
    executor = LocalExecutor(LocalConfig(slots=1), machine.home / "study" / ".executor")
    job = Job("study-1/0001/train/a1", "study-1", command, files, deadline_s=60, outputs=outputs, sandboxed=True)
    handle = executor.submit(job, job.token)
    end = time.monotonic() + 30
    while not _alive(mark) and time.monotonic() < end:
        time.sleep(0.1)
    assert _alive(mark), executor.logs(handle, 0)[0].decode()
    if how == "cancel":
        while time.monotonic() < end + 30:
            try:
                executor.cancel(handle, 0.5)
                break
            except NotYet:
                time.sleep(0.05)
    else:
        supervisor = json.loads(next((machine.home / "study" / ".executor").glob("*/supervisor.json")).read_text())
        os.kill(supervisor["pid"], signal.SIGKILL)
        while _alive(mark) and time.monotonic() < end + 30:
            time.sleep(0.05)
    assert not _alive(mark)
    executor.reap("study-1", [])
