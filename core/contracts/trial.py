"""A trial: one attempt inside a study, as policies, decision rules and trackers see it."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from core.contracts.evaluation import Evaluation
from core.contracts.proposal import Proposal
from core.contracts.verdict import Decision

TrialStatus = Literal["running", "completed", "failed", "cancelled"]

BASELINE = 0
"""The number of the baseline trial: the untouched starting model, evaluated like any other."""


@dataclass(frozen=True)
class Trial:
    """One trial's facts so far. Trial 0 is the baseline: the untouched starting model.

    status: "running" until it ended; "completed" with an evaluation; "failed" with an error
        (training raised, crashed, hung, or scored NaN); "cancelled" when the study gave it up.
    evaluation: the scores on `validation`; `test` the ones on the test split, opened at the end.
    error: what went wrong, one line; `error_kind` a stable word for it ("exception", "exit",
        "signal", "deadline", "stalled", "not-finite", "oom", "processes", "disk", "evaluation", "executor", "guard",
        "patch": it did not pass its checks, "budget": what is left does not pay for another attempt).
    attempt: how many times its job was started (1 = never retried).
    seconds: training plus evaluation time in seconds; usd, gpu_hours: what they cost.
    started_s, ended_s: when it was proposed and when it ended, in the study's own elapsed
        seconds (monotonic, summed over resumes); ended_s is None while it runs.
    metrics: the last value of each live metric that training reported.
    confirmed: True once certification confirmed an incumbent on fresh seeds.
    """

    number: int
    proposal: Proposal
    status: TrialStatus = "running"
    evaluation: Evaluation | None = None
    test: Evaluation | None = None
    decision: Decision | None = None
    error: str | None = None
    error_kind: str | None = None
    attempt: int = 1
    seconds: float = 0.0
    usd: float = 0.0
    gpu_hours: float = 0.0
    hardware: str = ""
    started_s: float = 0.0
    ended_s: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    confirmed: bool = False

    def training_seed(self, study_seed: int) -> int:
        """The seed that training is given: the proposal's own, or one derived from study seed and number."""
        if self.proposal.seed is not None:
            return self.proposal.seed
        digest = hashlib.sha256(f"{study_seed}/{self.number}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    @property
    def score(self) -> float | None:
        """The validation score, or None where there is none that counts."""
        return self.evaluation.value if self.status == "completed" and self.evaluation else None
