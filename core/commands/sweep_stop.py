"""Stopping a sweep: a signal to the process that launched it stops every study in good order, wherever it runs."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from core.commands.sweep_records import Beginning, Records, Sweep

_SAME_S = 0.5  # some process managers send one signal twice
_LOOK_S = 0.5


@contextmanager
def stopping_all() -> Iterator[None]:
    """In the launching process: the first SIGINT or SIGTERM is passed on and waited for, the second leaves at once.

    Launchers know no such thing: joblib and submitit kill their studies at once.
    """
    first: list[float] = []
    over = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if Beginning.sweep is None or not Beginning.sweep.side_by_side:
            _leave(number)
        elif not first:
            first.append(time.monotonic())
            Records(Beginning.sweep.directory).ask_to_stop(number)
            name = signal.Signals(number).name
            sys.stderr.write(f"\n{name}: the studies of the sweep stop and record; once more to stop at once\n")
            sys.stderr.flush()
        elif time.monotonic() - first[0] > _SAME_S:
            Records(Beginning.sweep.directory).ask_to_stop(number)
            _leave(number)

    def shield(sweep: Sweep) -> None:
        # What launchers start inherits that Ctrl-C is blocked; here another thread takes it, and Python
        # has the main thread handle it.
        if sweep.side_by_side:
            threading.Thread(target=over.wait, name="sweep-signals", daemon=True).start()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    Beginning.then.append(shield)
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        Beginning.then.remove(shield)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        over.set()
        for number, handler in previous.items():
            if signal.getsignal(number) == handle:  # an interrupted study's own handler stays to the end
                signal.signal(number, handler)


@contextmanager
def heeding(records: Records, session: int) -> Iterator[None]:
    """In a study's own process: what the launching process was sent is sent to this one, until the end.

    session: of the launching process. Its terminal's Ctrl-C would come here too, and twice is at once.
    """
    if os.getsid(0) == session and os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    over = threading.Event()

    def watch() -> None:
        heard = 0
        while not over.wait(_LOOK_S):
            asked = records.asked_to_stop()
            for number in asked[heard:]:
                os.kill(os.getpid(), number)
            heard = len(asked)

    thread = threading.Thread(target=watch, name="sweep-stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _leave(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
