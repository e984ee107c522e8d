"""The policy's purse: money asked for in the policy's thread, journaled in the engine's."""

import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from core.budget.ledger import Cost, Ledger
from core.contracts import BudgetSpent
from core.errors import JournalError
from core.journal import events as ev
from core.journal.fold import Fold
from core.study import afford
from core.study.parts import Parts
from core.study.recorder import Recorder


@dataclass
class _Request:
    """What the policy's thread waits for: a receipt, or the word that a bill is written down."""

    usd: float
    purpose: str = ""
    receipt: str = ""
    answer: "Future[str]" = field(default_factory=Future)


class PolicyPurse:
    """See core.contracts.Purse. `serve` must be called often, in the thread that owns the journal."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._closed = False

    def reserve(self, usd: float, purpose: str) -> str:
        """See core.contracts.Purse."""
        if not usd >= 0:
            raise ValueError(f"what is reserved for {purpose} must be at least 0 US dollars, not {usd}")
        return self._ask(_Request(usd, purpose))

    def settle(self, receipt: str, usd: float) -> None:
        """See core.contracts.Purse."""
        if not usd >= 0:
            raise ValueError(f"what {receipt} cost must be at least 0 US dollars, not {usd}")
        self._ask(_Request(usd, receipt=receipt))

    def serve(self, recorder: Recorder, parts: Parts, ledger: Callable[[], Ledger]) -> None:
        """Answer all that was asked. Raises JournalError when it cannot be written down."""
        while not self._requests.empty():
            request = self._requests.get()
            try:
                request.answer.set_result(_served(request, recorder, parts, ledger()))
            except BudgetSpent as refusal:
                request.answer.set_exception(refusal)
            except JournalError as error:
                request.answer.set_exception(error)
                raise

    @property
    def closed(self) -> bool:
        """See core.contracts.Purse."""
        return self._closed

    def close(self) -> None:
        """The study is stopping: nothing more is granted, and nobody is kept waiting."""
        self._closed = True
        while not self._requests.empty():
            self._requests.get().answer.set_exception(BudgetSpent("the study is stopping"))

    def _ask(self, request: _Request) -> str:
        self._requests.put(request)
        if self._closed:
            self.close()
        return request.answer.result()


def left_open(fold: Fold) -> list[ev.Event]:
    """Settle in full what policies of earlier controllers reserved: nobody knows what it cost."""
    return [
        ev.BudgetSettled(token, None, 0.0, reserved.usd, 0.0)
        for token, reserved in fold.reserved.items()
        if reserved.trial is None
    ]


def _served(request: _Request, recorder: Recorder, parts: Parts, now: Ledger) -> str:
    fold = recorder.fold
    if request.receipt:
        if request.receipt not in fold.reserved:
            raise BudgetSpent(f"{request.receipt} is not open: nothing was reserved, or it was settled before")
        recorder.record(ev.BudgetSettled(request.receipt, None, 0.0, request.usd, 0.0))
        return request.receipt
    needed = replace(now, reserved=now.reserved + afford.promised(fold, parts, test=True))
    if refusal := afford.short(Cost(usd=request.usd), needed.left()):
        raise BudgetSpent(f"{request.purpose}: {refusal}")
    receipt = f"{fold.creation.study_id}/policy/{recorder.journal.seq + 1}"
    recorder.record(ev.BudgetReserved(receipt, None, 0.0, request.usd, 0.0))
    return receipt
