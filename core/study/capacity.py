"""Capacity: how many jobs an elastic executor can take now, asked again while the study runs."""

import time
from collections.abc import Callable

from core.contracts import Caps, Executor

ASK_EVERY_S = 20.0


class Capacity:
    """When to ask an executor again what it can do, and what to say of its answer."""

    def __init__(self, caps: Caps) -> None:
        self._next = time.monotonic() + ASK_EVERY_S if caps.elastic else float("inf")

    def question(self, executor: Executor) -> Callable[[], Caps | None] | None:
        """What to ask now, for another thread; None while it is not time. Its answer is None where the
        executor does not answer: what it said last holds."""
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + ASK_EVERY_S

        def ask() -> Caps | None:
            try:
                return executor.caps()
            except Exception:  # noqa: BLE001 - polling says what is wrong with it; this question can wait
                return None

        return ask


def changed(before: Caps, now: Caps) -> str | None:
    """What to say of a change, or None."""
    if now.slots == before.slots:
        return None
    return f"the executor has room for {now.slots} jobs at once now, it was {before.slots}"
