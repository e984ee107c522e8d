"""The parent's side of the process that calls providers: started once, ended when it is late."""

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_START_S = 120.0  # importing litellm: 3 to 5 s, more on a busy machine
_LOOK_S = 0.2
_MARGIN_S = 1.0  # litellm's own timeout, which covers a silent server, comes first and leaves the process alive
_MAX_LINE = 8 << 20
_idle: list["Child"] = []
_lock = threading.Lock()


class Late(Exception):
    """No answer in time, or the process died; it is gone now."""


class Stopping(Exception):
    """The caller no longer wants an answer; the process is gone now."""


class Child:
    """One process with litellm loaded."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "overnight_llm.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # litellm logs whole requests when it fails
            start_new_session=True,  # Ctrl-C is the controller's to handle
        )
        self._ready = False
        self._buffer = b""

    def call(self, request: dict[str, Any], seconds: float, stopping: Callable[[], bool]) -> dict[str, Any]:
        """The answer to a request. Raises Late or Stopping, and the process is ended."""
        try:
            if not self._ready:
                self._line(time.monotonic() + _START_S, stopping)
                self._ready = True
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            found: dict[str, Any] = json.loads(self._line(time.monotonic() + seconds + _MARGIN_S, stopping))
            return found
        except (OSError, ValueError) as error:
            self.end()
            raise Late(f"the process that calls the model ended ({type(error).__name__})") from None
        except (Late, Stopping):
            self.end()
            raise

    def end(self) -> None:
        """Kill the process, and with it whatever connection it holds."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # unsent bytes of a dead process

    def _line(self, deadline: float, stopping: Callable[[], bool]) -> bytes:
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if stopping():
                    raise Stopping
                left = deadline - time.monotonic()
                if left <= 0 or len(self._buffer) > _MAX_LINE:
                    raise Late("no complete answer in time")
                if selector.select(min(left, _LOOK_S)):
                    piece = os.read(source, 1 << 16)
                    if not piece:
                        raise Late("the process that calls the model ended")
                    self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def call(request: dict[str, Any], seconds: float, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Have an idle process, or a new one, answer a request within `seconds` or little more (its start not counted).

    Raises Late; then a new process is loading already. Raises Stopping.
    """
    with _lock:
        child = _idle.pop() if _idle else None
    child = child or Child()
    try:
        answer = child.call(request, seconds, stopping)
    except Late:
        child = Child()
        raise
    except Stopping:
        child = None
        raise
    finally:
        if child is not None:
            with _lock:
                _idle.append(child)
    return answer


def rest() -> None:
    """End the processes that wait for a next question; one that is asked starts anew."""
    with _lock:
        waiting, _idle[:] = list(_idle), []
    for child in waiting:
        child.end()
