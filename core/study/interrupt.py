"""Interrupts: the first SIGINT or SIGTERM asks a study to stop in good order, the second ends it at once."""

import atexit
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType


class Interrupted(Exception):
    """A person or the machine asked the controller to stop. exit_code: 128 + the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


_SAME_S = 0.5  # `timeout` and some process managers send one signal twice


class Interrupt:
    """Handles both signals while it is entered; elsewhere than in the main thread it does nothing."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._at = 0.0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a signal the process is on its way out and still writes its reports: a second signal in
        # that time must end it with the promised exit code too, so the handler stays.
        if self._number is not None:
            # Python's own end gives signals back to the system, which would turn the exit code into -2:
            # once no thread is waited for any more, there is nothing left to interrupt.
            atexit.register(_ignore)
            return
        for number, previous in self._previous.items():
            signal.signal(number, previous)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self._number is not None:
            raise Interrupted(self._number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._number is not None:
            if time.monotonic() - self._at < _SAME_S:
                return
            # The journal is durable at every instant and executors watch for our death: leaving
            # without ceremony loses nothing. Only the cursor has to be given back.
            sys.stderr.write("\x1b[?25h\nstopped at once\n")
            sys.stderr.flush()
            os._exit(128 + number)
        self._number, self._at = number, time.monotonic()
        sys.stderr.write(f"\n{signal.Signals(number).name}: stopping trials and recording; once more to stop at once\n")
        sys.stderr.flush()


def _ignore() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
