"""The fallback: another policy proposes where the model gives no usable answer, and it is said how often."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core import Proposal, SetupError, StudyView, Trial, build_policy

_MARK = "fallback "  # how the rationale of a proposal begins that is not the model's
_NEEDS_A_MODEL = ("llm", "llm_diff", "agent")


class Fallback:
    """The policy under `policy.fallback`. Raises SetupError for one that needs a model itself."""

    def __init__(self, node: Mapping[str, Any]) -> None:
        self._name = str(node.get("name"))
        if self._name in _NEEDS_A_MODEL:
            raise SetupError("policy.fallback: must be a policy that works without a language model, e.g. tpe")
        self._policy = build_policy(node, "policy.fallback")

    def tell(self, trial: Trial) -> None:
        """A trial ended."""
        self._policy.tell(trial)

    def propose(
        self, view: StudyView, missing: int, chosen: Sequence[Proposal], lacking: str, why: str
    ) -> tuple[list[Proposal], list[str]]:
        """What it proposes beside those chosen already, marked as its own, and what a person is told.

        lacking: what the model did not give, e.g. "answer". why: what was wrong with what it gave.
        """
        proposals = self._policy.ask(view.with_running(chosen), missing)
        trials = [*view.trials, *view.running]
        before = sum(trial.proposal.rationale.startswith(_MARK) for trial in trials)
        notices = [
            f"the model gave no usable {lacking} ({why}); {self._name} proposed parameters instead, as for "
            f"{before + len(proposals)} of {len(trials) + len(chosen) + len(proposals)} trials so far"
        ]
        marked = [replace(one, rationale=f"{_MARK}{self._name}: {one.rationale} (model {why})") for one in proposals]
        return marked, notices if proposals else []
