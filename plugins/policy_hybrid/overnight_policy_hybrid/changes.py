"""Changes of the program: another policy that proposes patches, asked when progress stalls."""

from collections.abc import Mapping, Sequence
from typing import Any

from core import HasNotices, Proposal, StudyView, Trial, build_policy


class Changes:
    """The policy under `policy.diffs`. Raises SetupError or UsageError for one that cannot be built."""

    def __init__(self, node: Mapping[str, Any]) -> None:
        self._name = str(node.get("name"))
        self._policy = build_policy(node, "policy.diffs")

    def tell(self, trial: Trial) -> None:
        """A trial ended."""
        self._policy.tell(trial)

    def notices(self) -> list[str]:
        """What it has to say."""
        return list(self._policy.notices()) if isinstance(self._policy, HasNotices) else []

    def ask(self, view: StudyView, pending: Sequence[Proposal]) -> tuple[Proposal | None, str]:
        """A proposal with a patch, or None and why. pending: what was proposed in this round already."""
        found = self._policy.ask(view.with_running(pending), 1)
        if not found or found[0].patch is None:
            return None, f"{self._name} proposed no change of the program"
        return found[0], ""
