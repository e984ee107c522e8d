"""A decision: the verdict on one trial, with its evidence."""

from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["keep", "discard", "retest"]


@dataclass(frozen=True)
class Decision:
    """The verdict on one trial, with its evidence.

    verdict: "keep" makes the candidate the incumbent, "discard" leaves the incumbent,
        "retest" asks for another trial with the same params and a fresh seed.
    reason: one sentence for the terminal and the report.
    evidence: the figures the verdict rests on (JSON scalars), e.g. gain, standard error, n.
    """

    verdict: Verdict
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
