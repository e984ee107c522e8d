"""Policy `llm`: a language model proposes parameters, a sampler stands in when it cannot."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from core import Proposal, StudyView, Trial
from overnight_llm import Client, LlmSettings
from overnight_llm.memory import Earlier, earlier, remember, write_lessons
from overnight_policy_llm import prompt
from overnight_policy_llm.fallback import Fallback
from overnight_policy_llm.reading import Reader, distance


class LlmPolicy:
    """A language model (any provider, through litellm) proposes parameters, and says why."""

    class Config(LlmSettings):
        """fallback: the policy that proposes when the model gives no usable answer. memory: the
        directory of an earlier study of the same task, whose lessons and best points are used.
        memory_points: how many of those points are tried first. default_first: whether trial 1 is
        the task author's own configuration. The rest is of the model: see overnight_llm."""

        fallback: Mapping[str, Any] = {"name": "tpe"}
        memory: str | None = None
        memory_points: int = Field(default=2, ge=0)
        default_first: bool = True

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client = Client(config)
        self._fallback = Fallback(config.fallback)
        self._earlier: Earlier | None = None
        self._why = ""  # what the model's last answer lacked
        self._notices: list[str] = []

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """See core.contracts.Policy. A model may answer otherwise when it is asked again: what was
        journaled is what counts, and is never asked for again."""
        chosen = self._given(view, n)
        if len(chosen) < n:
            chosen += self._from_model(view, n - len(chosen), chosen)
        if len(chosen) < n:
            instead, said = self._fallback.propose(view, n - len(chosen), chosen, "answer", self._why)
            self._notices += said
            chosen += instead
        return chosen

    def tell(self, trial: Trial) -> None:
        """See core.contracts.Policy. The model is told of trials when it is asked."""
        self._fallback.tell(trial)

    def notices(self) -> list[str]:
        """See core.contracts.HasNotices."""
        said, self._notices = self._notices, []
        return said

    def _given(self, view: StudyView, n: int) -> list[Proposal]:
        """What needs no model: the default configuration, then the best points of the earlier study."""
        given = []
        if self._config.default_first:
            given.append(Proposal(view.space.defaults(), rationale="default configuration"))
        if self._config.memory is not None:
            if self._earlier is None:
                self._earlier, said = earlier(view, self._config.memory)
                self._notices += said
            for point, score in self._earlier.points[: self._config.memory_points]:
                if all(distance(view.space, point, other.params) > 0 for other in given):
                    why = f"memory: {view.objective.metric} {score:.4g} in the earlier study {self._earlier.name}"
                    given.append(Proposal(point, rationale=why))
        # The decision rule's retests count among the proposed, and are none of these.
        ours = sum(not trial.proposal.retest for trial in (*view.trials, *view.running))
        return given[ours : ours + n]

    def _from_model(self, view: StudyView, wanted: int, chosen: list[Proposal]) -> list[Proposal]:
        reader = Reader(view, wanted, chosen)
        found = self._client.ask(
            prompt.messages(view, wanted, chosen, remember(view), self._earlier),
            reader,
            schema=prompt.schema(view.space, wanted),
            seed=_seed(view),
            purse=view.purse,
            purpose=f"asking {self._config.model} for {wanted} proposal{'s' * (wanted > 1)}",
        )
        self._notices += found.notices
        if wrong := write_lessons(view, reader.lessons):
            self._notices.append(wrong)
        self._why = f"{found.kind}: {found.problem}" if found.problem else ""
        accepted = list(reader.accepted)
        if accepted:
            first = accepted[0]
            accepted[0] = replace(first, rationale=f"{first.rationale} [{found.model}, {found.cost}]")
        return accepted


def _seed(view: StudyView) -> int:
    """31 bits, another for each ask of a study and each study."""
    return int.from_bytes(hashlib.sha256(f"llm/{view.seed}/{view.proposed}".encode()).digest()[:4], "big") >> 1
