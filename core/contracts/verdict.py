"""A decision: the verdict on one trial, with its evidence and what the rule now believes."""

from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["keep", "discard", "retest"]


@dataclass(frozen=True)
class Estimate:
    """What a rule believes of its leader, after everything it has seen: not the score that made it lead.

    trial: the leader. score: its configuration's true score, shrunken (the best of many scores is
    the luckiest); low, high: its 90 % interval. gain: over the baseline, in metric units, positive is
    better; gain_low, gain_high: its 90 % interval. chance: that it truly beats the baseline, 0 to 1.
    All are about the validation items that selection sees, and rest on the rule's model.
    """

    trial: int
    score: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    chance: float


@dataclass(frozen=True)
class Decision:
    """The verdict on one trial, with its evidence.

    verdict: "keep" makes the candidate the incumbent, "discard" leaves the incumbent,
        "retest" asks for another trial with the same params and a fresh seed.
    reason: one sentence for the terminal and the report.
    evidence: the figures the verdict rests on (JSON scalars), e.g. gain, standard error, n.
    leader: the trial that is the incumbent from now on, where the verdict alone does not say it: an
        older trial (0: the baseline again), or a candidate that is retested and leads meanwhile.
        None: the candidate after "keep", else the incumbent as it is. With "keep" only the candidate.
    contenders: trials that the rule may yet name as leader: their checkpoints are not deleted. A
        rule names as leader only the baseline, the candidate, the incumbent, or a trial among the
        contenders of the decision before.
    estimate: what the rule believes of its leader; None for a rule that estimates nothing.
    """

    verdict: Verdict
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    leader: int | None = None
    contenders: tuple[int, ...] = ()
    estimate: Estimate | None = None
