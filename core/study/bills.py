"""Bills: what a machine may still cost between its job's end and the moment when it is gone.

A job's end and its cost are journaled before its machine is deleted, so that no result is lost;
until the machine is known to be gone, the rest of the job's reservation is held back. A second
BudgetSettled of the same job closes its bill: by what the provider says that it charged, where it
says that (so that it may take back what was estimated too high), else by an estimate.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from core.budget.ledger import Cost, total
from core.contracts import Executor, Handle, TellsBills
from core.journal import events as ev
from core.journal.events import Entry


@dataclass(frozen=True)
class _Open:
    reserved: ev.BudgetReserved
    settled_usd: float
    rest: Cost
    since: float


class Bills:
    """The open bills of one controller; jobs that cost nothing have none."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def hold(self, reserved: ev.BudgetReserved | None, end: Iterable[ev.Event], since: float) -> None:
        """Keep back what the events of a job's end leave of its reservation. since: when its bill was
        read, monotonic seconds."""
        settled = next((event for event in end if isinstance(event, ev.BudgetSettled)), None)
        if reserved is not None and reserved.usd > 0 and settled is not None:
            rest = Cost(0.0, max(0.0, reserved.usd - settled.usd), max(0.0, reserved.gpu_hours - settled.gpu_hours))
            self._open[reserved.token] = _Open(reserved, settled.usd, rest, since)

    def held(self) -> Cost:
        """All that is kept back."""
        return total(bill.rest for bill in self._open.values())

    def close(self, token: str, charged: float | None) -> list[ev.Event]:
        """The machine is gone: what it cost since its bill was read. charged: US dollars in all, as the
        provider says, None = it does not say."""
        bill = self._open.pop(token, None)
        if bill is None:
            return []
        share = min(1.0, (time.monotonic() - bill.since) / max(bill.reserved.seconds, 1e-9))
        estimate = min(bill.rest.usd, share * bill.reserved.usd)
        usd = estimate if charged is None else charged - bill.settled_usd
        gpu_hours = min(bill.rest.gpu_hours, share * bill.reserved.gpu_hours)
        return [ev.BudgetSettled(token, bill.reserved.trial, 0.0, usd, gpu_hours)]


def closed(reserved: ev.BudgetReserved | None) -> list[ev.Event]:
    """The bill of a job that ended after its machine was gone: nothing is added."""
    if reserved is None or reserved.usd <= 0:
        return []
    return [ev.BudgetSettled(reserved.token, reserved.trial, 0.0, 0.0, 0.0)]


def asked(executor: Executor, handle: Handle | None) -> float | None:
    """What the provider charged for a job whose machine is gone; None where it does not say."""
    if handle is None or not isinstance(executor, TellsBills):
        return None
    try:
        return executor.bill(handle)
    except Exception:  # noqa: BLE001 - no answer is no bill; the estimate stands
        return None


def left_open(entries: Iterable[Entry], bill: Callable[[Handle | None], float | None]) -> list[ev.Event]:
    """Close the bills that earlier controllers left open: as the provider says, or at the worst case,
    since nobody watched."""
    handles: dict[str, Handle] = {}
    reserved: dict[str, ev.BudgetReserved] = {}
    settled: dict[str, list[ev.BudgetSettled]] = {}
    for entry in entries:
        match entry.event:
            case ev.BudgetReserved(token=token) as event:
                reserved[token] = event
            case ev.BudgetSettled(token=token) as event:
                settled.setdefault(token, []).append(event)
            case ev.JobSubmitted(token=token, handle=handle):
                handles[token] = handle
    found: list[ev.Event] = []
    for token, most in reserved.items():
        if most.trial is None:
            continue  # the policy's own: its bill is closed at once
        match settled.get(token, []):
            case [only] if most.usd > 0 and token in handles:  # what was never submitted has no machine
                charged, gpu_hours = bill(handles.get(token)), max(0.0, most.gpu_hours - only.gpu_hours)
                usd = max(0.0, most.usd - only.usd) if charged is None else charged - only.usd
                found.append(ev.BudgetSettled(token, most.trial, 0.0, usd, gpu_hours))
    return found
