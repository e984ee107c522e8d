"""A proposal: what one trial will try."""

from dataclasses import dataclass, field

from core.contracts.space import Scalar


@dataclass(frozen=True)
class Proposal:
    """What to try, as a policy's `ask` returns it.

    params: one value for every parameter of the search space.
    patch: a unified diff to the task's editable program as the task has it (not to that of a parent,
        so that a proposal says by itself what is run), or None.
    parent: the number of the trial that this one varies, or None.
    seed: the training seed; None lets the study derive one from its own seed and the trial's number.
    retest: whether this repeats its parent's params with a fresh seed, as a decision rule asked.
    rationale: one line for the journal and the report: why this, now.
    """

    params: dict[str, Scalar] = field(default_factory=dict)
    patch: str | None = None
    parent: int | None = None
    seed: int | None = None
    retest: bool = False
    rationale: str = ""
