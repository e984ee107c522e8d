"""Patience: how an executor that is out of order is asked again, and for how long."""

import errno
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from core.contracts import NotYet, OutOfStock, SetupError
from core.errors import StudyStopped

T = TypeVar("T")

# An outage in the night is over in the morning or not at all; running jobs end at their deadlines
# without us, and what they cost is reserved.
PATIENCE_S = 900.0
_LONGEST_PAUSE_S = 15.0
_FEW = 5
# Nothing far away is out of order: this machine is, and a person has to do something about it.
_OURS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
)


class Patience:
    """Shared by all calls of one study, from many threads.

    troubles: what a person must hear of while calls are repeated. stock_out_s: how long to wait for
    a machine where all are taken.
    """

    def __init__(self, *, short: bool = False, stock_out_s: float = 0.0) -> None:
        self._stock_out_s = stock_out_s
        self.troubles: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._short = threading.Event()
        if short:
            self._short.set()

    @property
    def hurried(self) -> bool:
        """Whether the study is stopping."""
        return self._short.is_set()

    def hurry(self) -> None:
        """From now on give up after a few tries (the study is stopping); who waits is woken."""
        self._short.set()

    def over(self, tries: int, waited_s: float, error: Exception) -> bool:
        """Whether to give up now."""
        ours = isinstance(error, OSError) and error.errno in _OURS
        return tries >= _FEW and (waited_s >= self.limit_s(error) or ours or self._short.is_set())

    def limit_s(self, error: Exception) -> float:
        """How long this error is borne, seconds."""
        return self._stock_out_s if isinstance(error, OutOfStock) else PATIENCE_S

    def pause(self, tries: int) -> None:
        """Wait before the next try: 0.2 s, then twice as long each time, up to 15 s."""
        seconds = min(0.1 * 2 ** min(tries, 10), _LONGEST_PAUSE_S)
        if self._short.is_set():
            time.sleep(seconds)
        else:
            self._short.wait(seconds)


def persist(action: Callable[[], T], what: str, patience: Patience) -> T:
    """Do something with an executor until it works, it is hopeless or patience is at an end.

    NotYet passes through. A SetupError is hopeless: only a person can change it. Raises
    StudyStopped with the last cause.
    """
    # A wait for a machine is one, whatever else goes wrong meanwhile; an outage is over when something
    # else is answered. Of each: how many tries, since when.
    counts: dict[bool, tuple[int, float]] = {}
    while True:
        try:
            return action()
        except (NotYet, StudyStopped):
            raise
        except SetupError as error:
            raise StudyStopped(f"{what}: {error}") from error
        except Exception as error:
            stock_out = isinstance(error, OutOfStock)
            if stock_out:
                counts.pop(False, None)
            before, started = counts.get(stock_out, (0, time.monotonic()))
            tries, waited = before + 1, time.monotonic() - started
            counts[stock_out] = tries, started
            cause = f"{type(error).__name__}: {error}"
            if patience.over(tries, waited, error):
                raise StudyStopped(f"{what} after {tries} tries in {waited:.0f} s: {cause}") from error
            if tries == _FEW:
                minutes = patience.limit_s(error) / 60
                patience.troubles.put(f"{what} ({cause}); trying again for up to {minutes:g} minutes")
            patience.pause(tries)
