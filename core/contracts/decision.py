"""A decision rule: whether a finished trial becomes the incumbent."""

from collections.abc import Sequence
from typing import Protocol

from core.contracts.objective import Objective
from core.contracts.trial import Trial
from core.contracts.verdict import Decision


class DecisionRule(Protocol):
    """Judges each evaluated trial.

    Constructed as `rule_class(config)` with its validated `Config`. `decide` is called on the
    study's thread once per completed trial, in the order in which they complete, never for a
    failed one. It must be pure: the same arguments give the same answer, so that a replayed
    journal decides alike. It may not block on anything outside. If it raises, the trial is
    recorded as discarded with the error as its reason, and the study goes on.
    """

    def decide(self, candidate: Trial, incumbent: Trial, history: Sequence[Trial], objective: Objective) -> Decision:
        """Judge `candidate` against `incumbent`.

        candidate, incumbent: completed trials whose `evaluation` carries per-item scores on
            `validation`; the incumbent is the baseline (trial 0) until something was kept. Where the
            study certifies, the items set aside for that are in no evaluation that a rule sees.
        history: all trials that ended before, oldest first, without per-item scores; the baseline
            is among them once it was scored.

        The answer may name an older trial as the incumbent (`Decision.leader`), and which others it may
        yet name (`Decision.contenders`).
        """
        ...
