"""Affording: what may still be started so that no cap is ever passed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.budget.ledger import Cost, Ledger, total
from core.contracts import BASELINE, BudgetView
from core.journal.events import BudgetReserved, Phase
from core.journal.fold import Fold
from core.study import stages
from core.study.jobs import deadline
from core.study.parts import Parts

_CENT = 1e-6  # sums of the same amounts in another order differ by less


@dataclass(frozen=True)
class Grant:
    """What a job may take: seconds until its deadline. notice: why they are fewer than configured.
    refusal: why it may not start. wait: running jobs may give back enough of what is reserved for
    them: not now, but perhaps later."""

    seconds: float
    notice: str | None = None
    refusal: str | None = None
    wait: bool = False


def ledger(fold: Fold, elapsed_s: float, held: Cost, *, asking: bool = False) -> Ledger:
    """The budget now. held: what machines of ended jobs may still cost. asking: whether the policy is
    being asked: else what it reserved and did not settle stays reserved for good."""
    spent = Cost(fold.settled_seconds, fold.settled_usd, fold.settled_gpu_hours)
    reserved = [(entry.trial, Cost(entry.seconds, entry.usd, entry.gpu_hours)) for entry in fold.reserved.values()]
    all_of_it = total(cost for _, cost in reserved)
    stuck = Cost() if asking else total(cost for trial, cost in reserved if trial is None)
    return Ledger(fold.limits(), spent, all_of_it + held, len(fold.records) - 1, elapsed_s, stuck)


def worst(parts: Parts, seconds: float) -> Cost:
    """The most that a job with this deadline can cost at the current price, its machine's start and end too."""
    return parts.price.of(seconds + parts.overhead_s)


def reserved_price(fold: Fold, parts: Parts, token: str) -> float | None:
    """US dollars an hour that are reserved for a job; None where nothing can cost anything."""
    reserved = fold.reserved[token]
    return reserved.usd / reserved.seconds * 3600 if reserved.usd or parts.caps.priced else None


def promised(fold: Fold, parts: Parts, *, test: bool) -> Cost:
    """The worst case of what open trials still need and nothing is reserved for.

    test: with the final test evaluations, unless they are over.
    """
    needed: list[Phase] = []
    for record in fold.open_records:
        phases: tuple[Phase, ...] = ("prepare" if record.trial.number == BASELINE else "train", "validation")
        for phase in phases:
            job = record.job(phase)
            if job is None or (job.ended is not None and job.ended.state != "succeeded"):
                needed.append(phase)
    if test and not fold.test_opened:
        needed += ["test", "test"]
    return total(worst(parts, deadline(parts, phase)) for phase in needed)


def short(cost: Cost, left: BudgetView) -> str | None:
    """What of the budget does not cover a cost, or None."""
    if left.usd is not None and cost.usd > left.usd + _CENT:
        return f"it could cost ${cost.usd:.2f}, ${left.usd:.2f} of the budget is left"
    if left.gpu_hours is not None and cost.gpu_hours > left.gpu_hours + _CENT:
        return f"it could take {cost.gpu_hours:.2f} GPU-hours, {left.gpu_hours:.2f} of the budget are left"
    return None


def grant(fold: Fold, parts: Parts, now: Ledger, number: int, phase: Phase) -> Grant:
    """What the next job of a trial may take, so that trial and final test stay within the budget."""
    found = _grant(fold, parts, now, number, phase)
    if found.refusal is None or now.reserved == now.stuck:
        return found
    later = _grant(fold, parts, now.at_rest(), number, phase)
    return replace(found, wait=later.refusal is None)


def _grant(fold: Fold, parts: Parts, now: Ledger, number: int, phase: Phase) -> Grant:
    seconds, left = deadline(parts, phase), now.left()
    if phase == "prepare":
        # No estimate of it exists: it may take all there is, and ends the study if that is too little.
        affordable = min(_seconds_for(parts, left), seconds)
        if affordable < seconds:
            notice = f"preparation may take {affordable:.0f} s only: no more of the budget is left"
            return Grant(affordable, notice, None if affordable >= 1 else short(worst(parts, 1.0), left))
        return Grant(seconds)
    if phase == "train":
        if refusal := short(promised(fold, parts, test=True), left):
            return Grant(seconds, refusal=refusal)
        if left.seconds is not None and (rest := left.seconds - 3 * stages.baseline_seconds(fold)) < seconds:
            if rest < 1:
                return Grant(seconds, refusal="no more of the wall-clock budget is left")
            seconds = rest
            text = f"trial {number} may train for {seconds:.0f} s only: no more of the wall-clock budget is left"
            return Grant(seconds, text)
        return Grant(seconds)
    return Grant(seconds, refusal=short(worst(parts, seconds), left))


def next_trial(fold: Fold, parts: Parts) -> tuple[Cost, float]:
    """Worst case of one more trial plus the final test; likely wall-clock seconds of both."""
    needed: Sequence[Phase] = ("train", "validation", "test", "test")
    cost = total(worst(parts, deadline(parts, phase)) for phase in needed)
    trials = [record.trial for record in fold.records.values()]
    likely = max((t.seconds for t in trials if t.status == "completed" and t.number), default=0.0)
    return cost, likely + 2 * stages.baseline_seconds(fold)


def admission(fold: Fold, parts: Parts, now: Ledger, most: int, kept: int = 0) -> tuple[int, str | None]:
    """How many more trials may be proposed now, at most `most`; and why none ever can. kept: runs that
    must be paid for after them.

    (0, None): none now, but running jobs may give back some of what is reserved for them, or end
    with nothing to keep runs for.
    """
    if not kept or not pays_for(fold, parts, now.at_rest(), 2):
        return _admission(fold, parts, now, most)  # what cannot be kept is better used
    left = _beside(fold, parts, now, kept)
    n, refusal = _admission(fold, parts, left, most)
    if refusal is None or (final := _admission(fold, parts, now, most)[1]) is not None:
        return n, refusal and final
    if any(record.trial.number != BASELINE for record in fold.open_records):
        return 0, None
    return 0, f"the rest of the budget is kept for certification: {kept} runs with fresh seeds"


def pays_for(fold: Fold, parts: Parts, now: Ledger, runs: int) -> bool:
    """Whether the budget covers so many runs and the final test."""
    cost, likely = next_trial(fold, parts)
    return _beside(fold, parts, now, runs - 1).refusal(cost, likely) is None


def _beside(fold: Fold, parts: Parts, now: Ledger, runs: int) -> Ledger:
    """The budget without what so many runs take."""
    each = worst(parts, deadline(parts, "train")) + worst(parts, deadline(parts, "validation"))
    likely = max(0.0, next_trial(fold, parts)[1] - 2 * stages.baseline_seconds(fold))
    return replace(
        now,
        spent=total([now.spent, *[each] * runs]),  # nothing that runs now gives it back
        trials=now.trials + runs,
        elapsed_s=now.elapsed_s + runs * likely,
    )


def _admission(fold: Fold, parts: Parts, now: Ledger, most: int) -> tuple[int, str | None]:
    cost, likely = next_trial(fold, parts)
    full = replace(now, reserved=now.reserved + promised(fold, parts, test=False))
    if refusal := full.refusal(cost, likely):
        return 0, refusal if now.at_rest().refusal(cost, likely) else None
    left, count = full.left(), 0
    each = worst(parts, deadline(parts, "train")) + worst(parts, deadline(parts, "validation"))
    while count < most and short(cost, left) is None and left.trials != 0:
        count += 1
        full = replace(full, reserved=full.reserved + each, trials=full.trials + 1)
        left = full.left()
    return count, None


def _seconds_for(parts: Parts, left: BudgetView) -> float:
    """The deadline for which the whole rest of the budget pays."""
    hour = parts.price.of(3600.0)
    pairs = ((left.usd, hour.usd), (left.gpu_hours, hour.gpu_hours))
    paid = [amount / rate * 3600 for amount, rate in pairs if amount is not None and rate > 0]
    return min(paid, default=float("inf")) - parts.overhead_s


def more(cost: Cost, now: Ledger, had: BudgetReserved) -> str | None:
    """Why a job whose price rose cannot have this reserved instead of what it had, or None."""
    left = now.left()
    usd = None if left.usd is None else left.usd + had.usd
    gpu_hours = None if left.gpu_hours is None else left.gpu_hours + had.gpu_hours
    return short(cost, replace(left, usd=usd, gpu_hours=gpu_hours))
