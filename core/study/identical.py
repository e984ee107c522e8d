"""The policy of an A/A test: every trial is the task's default configuration."""

from core.contracts import Proposal, StudyView, Trial


class Identical:
    """Proposes the same again and again, so that whatever differs between trials is noise."""

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """See core.contracts.Policy."""
        params = view.space.defaults()
        return [Proposal(params, rationale="A/A test: the same configuration with another seed") for _ in range(n)]

    def tell(self, trial: Trial) -> None:
        """See core.contracts.Policy; there is nothing to learn."""
