"""Policy `llm_diff`: a language model changes the task's program, a diff at a time."""

import hashlib
from collections.abc import Mapping
from typing import Any

from core import InvalidPatch, Program, Proposal, Scalar, StudyView, Trial, patch_hash
from overnight_llm import Client, LlmSettings
from overnight_llm.memory import remember
from overnight_policy_llm import llm_diff_prompt
from overnight_policy_llm.fallback import Fallback
from overnight_policy_llm.llm_diff_answer import Change, DiffReader, taken


class LlmDiffPolicy:
    """A language model proposes diffs to the task's program; what is kept is what it goes on from."""

    class Config(LlmSettings):
        """fallback: the policy that proposes parameters when the model gives no usable diff.
        default_first: whether trial 1 is the task as its author has it. The rest is of the model:
        see overnight_llm."""

        fallback: Mapping[str, Any] = {"name": "tpe"}
        default_first: bool = True

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client = Client(config)
        self._fallback = Fallback(config.fallback)
        self._notices: list[str] = []

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """See core.contracts.Policy. A model may answer otherwise when it is asked again: what was
        journaled is what counts, and is never asked for again."""
        found: list[Proposal] = []
        if self._config.default_first and view.proposed == 0:
            found.append(Proposal(view.space.defaults(), rationale="default configuration"))
        changes: list[Change] = []
        why = "" if view.program is not None else "this task has no program that a diff could change"
        while len(found) < n and not why:
            proposal, why = self._from_model(view, changes)
            if proposal is not None:
                found.append(proposal)
        if len(found) == n:
            return found
        instead, said = self._fallback.propose(view, n - len(found), found, "diff", why)
        self._notices += said
        return found + instead

    def tell(self, trial: Trial) -> None:
        """See core.contracts.Policy. The model is told of trials when it is asked."""
        self._fallback.tell(trial)

    def notices(self) -> list[str]:
        """See core.contracts.HasNotices."""
        said, self._notices = self._notices, []
        return said

    def _from_model(self, view: StudyView, changes: list[Change]) -> tuple[Proposal | None, str]:
        """A proposal, or why there is none. `changes` grows by what the model wants."""
        number, base, params = incumbent(view)
        known = taken(view) | {patch_hash(change.patch): "another proposal of this round" for change in changes}
        answer = self._client.ask(
            llm_diff_prompt.messages(view, base, number, changes, remember(view)),
            DiffReader(view, base, known),
            seed=_seed(view, len(changes)),
            purse=view.purse,
            purpose=f"asking {self._config.model} for a diff",
        )
        self._notices += answer.notices
        if answer.value is None:
            return None, f"{answer.kind}: {answer.problem}"
        changes.append(answer.value)
        why = f"llm_diff: {answer.value.why} [{answer.model}, {answer.cost}]"
        return Proposal(params, patch=answer.value.patch, parent=number or None, rationale=why), ""


def incumbent(view: StudyView) -> tuple[int, Program, dict[str, Scalar]]:
    """What a change starts from: the incumbent's number (0 = none yet), program and parameters."""
    assert view.program is not None
    for trial in view.trials:
        if trial.number == view.incumbent and trial.number:
            try:
                program = view.program.patched(trial.proposal.patch) if trial.proposal.patch else view.program
            except InvalidPatch:
                break  # of another program: the study was moved to another version of its task
            return trial.number, program, dict(trial.proposal.params)
    return 0, view.program, view.space.defaults()


def _seed(view: StudyView, place: int) -> int:
    """31 bits, another for each question of a study and each study."""
    text = f"llm_diff/{view.seed}/{view.proposed + place}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
