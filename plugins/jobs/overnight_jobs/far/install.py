"""The installer: makes a virtual environment once, named by what is in it, whoever asks for it how often.

`python -I -S install.py ensure` reads an order on its standard input and prints one line on how far
it is, at once; a process of its own goes on with it, `install.py work FOLDER`, which holds a lock and
outlives the connection. An order: root, key, requirements, first (those to install alone before the
rest), pip_args, again (a failure is tried once more), peek (nothing is begun). Standard library only.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MARK = "overnight:"
_TAIL = 1500


def ensure(order: dict[str, Any]) -> dict[str, Any]:
    """How far the environment is: state ("ready", "installing", "failed"), python, said, seconds."""
    folder = Path(order["root"]).expanduser() / "env" / order["key"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _status(folder) | {"state": "installing"}
        status = _status(folder)
        if status["state"] == "ready" and Path(status["python"]).exists():
            return status
        if order.get("peek"):
            return status if status["state"] == "failed" else status | {"state": "absent"}
        if status["state"] == "failed" and not order.get("again"):
            return status
        _write(folder.with_suffix(".order"), order)
        _write(folder.with_suffix(".state"), {"state": "installing", "said": "", "began": time.time()})
        command = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), "work", str(folder)]
        with folder.with_suffix(".log").open("wb") as log:
            # It inherits the lock, which is free again when it has ended, however it ended.
            subprocess.Popen(
                command, pass_fds=[lock.fileno()], start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return _status(folder) | {"state": "installing"}


def work(folder: Path) -> None:
    """Build the environment; its state is written by rename, last."""
    try:
        _build(folder)
    except OSError as error:
        told = f"the environment could not be made: {error}"
        _write(folder.with_suffix(".state"), {"state": "failed", "said": told, "began": time.time()})


def _build(folder: Path) -> None:
    order = _read(folder.with_suffix(".order"))
    began = time.time()
    python, listed = folder / "bin" / "python", folder / "requirements.txt"
    pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *order["pip_args"]]
    steps: list[tuple[str, list[str]]] = [
        ("the environment itself", [sys.executable, "-m", "venv", *order.get("venv_args", ()), str(folder)])
    ]
    if order["first"]:
        # Where all is pinned, what these need is installed once, in the version that the rest wants.
        pinned = all(re.fullmatch(r"[\w.-]+==[\w.!]+", line) for line in order["requirements"])
        steps.append((", ".join(order["first"]), [*pip, *(["-c", str(listed)] if pinned else []), *order["first"]]))
    if order["requirements"]:
        steps.append((f"{len(order['requirements'])} packages", [*pip, "-r", str(listed)]))
    shutil.rmtree(folder, ignore_errors=True)  # what an installer that was killed left
    folder.mkdir()
    listed.write_text("\n".join(order["requirements"]) + "\n", encoding="utf-8")
    for said, command in steps:
        _write(folder.with_suffix(".state"), {"state": "installing", "said": said, "began": began})
        if code := subprocess.call(command):
            tail = folder.with_suffix(".log").read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
            hint = " (on Debian and Ubuntu: apt install python3-venv)" if command[1:3] == ["-m", "venv"] else ""
            told = f"{said} could not be installed (exit code {code}){hint}:\n{tail}"
            _write(folder.with_suffix(".state"), {"state": "failed", "said": told, "began": began})
            return
    _write(folder.with_suffix(".state"), {"state": "ready", "said": "", "began": began, "python": str(python)})


def _status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"state": "absent", "said": "", "python": "", "began": time.time()} | _read(
        folder.with_suffix(".state")
    )
    return found | {"seconds": round(time.time() - found["began"])}


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(path.read_text(encoding="utf-8")))
    return {}


def _write(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        work(Path(sys.argv[2]))
    else:
        print(MARK + json.dumps(ensure(json.load(sys.stdin))), flush=True)
