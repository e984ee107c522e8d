"""Policy `replay`: proposes what a recorded study proposed, in its order."""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from core import InvalidParams, PluginConfig, Proposal, RecordedStudy, SetupError, StudyView, Trial, recorded_study

_SAYS = re.compile(r"replay of trial (\d+) ")


class ReplayPolicy:
    """Re-runs a recorded study's proposals, for ablations (another decision rule, task or machine) and tests.

    Retests are left out: the decision rule of this study asks for its own.
    """

    class Config(PluginConfig):
        """study: directory of the recorded study. same_seeds: whether each trial trains with the
        seed that the recorded one trained with; false derives seeds from this study's own."""

        study: str | None = None
        same_seeds: bool = False

    def __init__(self, config: Config) -> None:
        if config.study is None:
            raise SetupError("policy 'replay' needs the directory of a recorded study: policy.study=DIR")
        self._directory, self._same_seeds = config.study, config.same_seeds
        if not self._recorded.trials:
            raise SetupError(f"policy.study: {config.study} holds a study that proposed nothing yet")

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next recorded proposals; none once all were proposed. Raises SetupError where one of
        them does not fit this study's search space."""
        recorded = [trial for trial in self._recorded.trials if not trial.proposal.retest]
        self._check(view, recorded)
        ours = [trial for trial in (*view.trials, *view.running) if not trial.proposal.retest]
        numbers = _numbers(ours)
        proposals = []
        for index in range(len(ours), min(len(ours) + n, len(recorded))):
            trial = recorded[index]
            proposal = trial.proposal
            last = ", the last" if index == len(recorded) - 1 else ""
            why = f"replay of trial {trial.number} ({index + 1} of {len(recorded)}{last}): {proposal.rationale}"
            proposals.append(
                replace(
                    proposal,
                    params=view.space.check(proposal.params),
                    parent=None if proposal.parent is None else numbers.get(proposal.parent),
                    seed=trial.training_seed(self._recorded.seed) if self._same_seeds else proposal.seed,
                    rationale=why.rstrip(": "),
                )
            )
        return proposals

    def tell(self, trial: Trial) -> None:
        """A replay learns nothing."""

    @cached_property
    def _recorded(self) -> RecordedStudy:
        return recorded_study(self._directory)

    def _check(self, view: StudyView, recorded: list[Trial]) -> None:
        for trial in recorded:
            try:
                view.space.check(trial.proposal.params)
            except InvalidParams as error:
                raise SetupError(
                    f"policy.study: trial {trial.number} of {self._directory} does not fit this study's search space: "
                    f"{error}. Replay it on the task and the space it was recorded with"
                ) from None


def _numbers(trials: Iterable[Trial]) -> dict[int, int]:
    """From a recorded trial's number to that of the trial here that replays it."""
    found = {}
    for trial in trials:
        said = _SAYS.match(trial.proposal.rationale)
        if said:
            found[int(said[1])] = trial.number
    return found
