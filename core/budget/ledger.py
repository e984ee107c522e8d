"""The ledger: what is spent, what is reserved at worst case, what may still be started."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.contracts import BudgetView
from core.journal.facts import Limits


@dataclass(frozen=True)
class Cost:
    """An amount: run time in seconds, US dollars, GPU-hours."""

    seconds: float = 0.0
    usd: float = 0.0
    gpu_hours: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.seconds + other.seconds, self.usd + other.usd, self.gpu_hours + other.gpu_hours)


@dataclass(frozen=True)
class Price:
    """What an hour of one job costs. usd_per_hour: US dollars. gpus: GPUs it occupies."""

    usd_per_hour: float = 0.0
    gpus: int = 0

    def of(self, seconds: float) -> Cost:
        """The cost of a job that runs so long."""
        return Cost(seconds, seconds * self.usd_per_hour / 3600, seconds * self.gpus / 3600)


@dataclass(frozen=True)
class Ledger:
    """The state of the budget at one moment, folded from the journal.

    spent: settled. reserved: the worst case of everything now running. trials: proposed so far.
    elapsed_s: of the study. Money and GPU-hours count reserved as spent, so that a limit is
    never passed even if every running job uses its whole deadline. stuck: what of it is not given
    back by any job's end.
    """

    limits: Limits
    spent: Cost
    reserved: Cost
    trials: int
    elapsed_s: float
    stuck: Cost = Cost()

    def at_rest(self) -> "Ledger":
        """The budget once all that runs now has ended and given back what it can, at best."""
        return replace(self, reserved=self.stuck)

    def left(self) -> BudgetView:
        """What may still be reserved; None = no limit."""
        limits = self.limits
        return BudgetView(
            trials=None if limits.trials is None else max(0, limits.trials - self.trials),
            seconds=None if limits.wall_clock_s is None else max(0.0, limits.wall_clock_s - self.elapsed_s),
            usd=None if limits.usd is None else max(0.0, limits.usd - self.spent.usd - self.reserved.usd),
            gpu_hours=None
            if limits.gpu_hours is None
            else max(0.0, limits.gpu_hours - self.spent.gpu_hours - self.reserved.gpu_hours),
        )

    def refusal(self, worst: Cost, expected_s: float) -> str | None:
        """Why one more trial cannot be afforded, or None.

        worst: what must be reserved for it (and for the final test) at most. expected_s: how
        long it will likely take, in wall-clock seconds: a trial that would be cut off is not begun.
        """
        left = self.left()
        if left.trials == 0:
            return f"all {self.limits.trials} trials of the budget were used"
        if left.seconds is not None and left.seconds <= expected_s:
            hours = (self.limits.wall_clock_s or 0.0) / 3600
            return f"the next trial (about {expected_s:.0f} s) does not fit in the {hours:g} h of wall-clock budget"
        if left.usd is not None and worst.usd > left.usd:
            return f"the next trial could cost ${worst.usd:.2f}, ${left.usd:.2f} of ${self.limits.usd:.2f} is left"
        if left.gpu_hours is not None and worst.gpu_hours > left.gpu_hours:
            return (
                f"the next trial could take {worst.gpu_hours:.2f} GPU-hours, "
                f"{left.gpu_hours:.2f} of {self.limits.gpu_hours:g} are left"
            )
        return None


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs."""
    result = Cost()
    for cost in costs:
        result = result + cost
    return result
