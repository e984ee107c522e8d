"""The plan: what a study may come to cost, said before the first dollar is spent."""

from dataclasses import dataclass

from core.budget.ledger import Cost, Price
from core.journal.facts import Limits


@dataclass(frozen=True)
class Times:
    """Seconds that one job of each phase may take, and the grace time that each is billed for too."""

    prepare_s: float
    train_s: float
    evaluate_s: float
    grace_s: float


@dataclass(frozen=True)
class Plan:
    """What is ahead at worst, when every job takes all its time and none is lost.

    trials: the limit, None = no limit. sure: trials that money and GPU-hours pay for even then,
    None = any number. fixed: preparation, the baseline's evaluation and the final test. each: one
    trial. limits, price, hardware: what it was made of.
    """

    trials: int | None
    sure: int | None
    fixed: Cost
    each: Cost
    limits: Limits
    price: Price
    hardware: str

    @property
    def most(self) -> Cost | None:
        """The worst case of all trials, without regard to the limits; None for any number of trials."""
        if self.trials is None:
            return None
        n = self.trials
        return self.fixed + Cost(n * self.each.seconds, n * self.each.usd, n * self.each.gpu_hours)


def make_plan(limits: Limits, price: Price, times: Times, hardware: str) -> Plan:
    """The plan of a study with these limits, at this price per job."""
    evaluation = price.of(times.evaluate_s + times.grace_s)
    fixed = price.of(times.prepare_s + times.grace_s) + evaluation + evaluation + evaluation
    each = price.of(times.train_s + times.grace_s) + evaluation
    pairs = ((limits.usd, fixed.usd, each.usd), (limits.gpu_hours, fixed.gpu_hours, each.gpu_hours))
    paid = [max(0, int((limit - first + 1e-9) // one)) for limit, first, one in pairs if limit is not None and one > 0]
    sure = min([*paid, *([limits.trials] if limits.trials is not None and paid else [])], default=None)
    return Plan(limits.trials, sure, fixed, each, limits, price, hardware)


def sentence(plan: Plan) -> str:
    """The plan in one line, e.g. "up to 15 trials, at most $18.40 of $20.00"."""
    said = [_trials(plan), *_money(plan), *_gpu_hours(plan)]
    if plan.limits.wall_clock_s is not None:
        said.append(f"for {plan.limits.wall_clock_s / 3600:g} h at most")
    if plan.price.usd_per_hour:
        said.append(f"on {plan.hardware} at ${plan.price.usd_per_hour:.2f} an hour")
    else:
        said.append(f"on {plan.hardware}, which costs nothing")
    return ", ".join(said)


def _trials(plan: Plan) -> str:
    limited = plan.sure is not None and (plan.trials is None or plan.sure < plan.trials)
    sure = f" ({plan.sure} if each takes all its time)" if limited else ""
    return (f"up to {plan.trials} trials" if plan.trials is not None else "trials until the budget is used") + sure


def _money(plan: Plan) -> list[str]:
    if not plan.price.usd_per_hour:
        return []
    limit, most = plan.limits.usd, plan.most
    if limit is None:
        return [] if most is None else [f"at most ${most.usd:.2f} (no limit in US dollars is set)"]
    return [f"at most ${limit if most is None else min(limit, most.usd):.2f} of ${limit:.2f}"]


def _gpu_hours(plan: Plan) -> list[str]:
    limit, most = plan.limits.gpu_hours, plan.most
    if limit is None:
        return []
    return [f"at most {limit if most is None else min(limit, most.gpu_hours):.1f} of {limit:g} GPU-hours"]
