"""Changes of the program in `hybrid`: when they are asked for, and what the sampler makes of two programs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from core import Program, Proposal, SetupError, StudyView, Trial
from core.errors import UsageError
from core.plugins import discover
from core.testing.trials import SPACES, failed, scored, view
from overnight_policy_hybrid import changes
from overnight_policy_hybrid.known import sort_out
from overnight_policy_hybrid.programs import Run, offsets

NUMBERS = SPACES["numbers"]
PROGRAM = Program({"train.py": "rate = 1\n"})
STALLED = {"stall_trials": 3, "stall_gain": 100.0}


class Patcher:
    """Proposes patch after patch at the incumbent's parameters, or nothing but parameters."""

    def __init__(self, patches: Sequence[str | None]) -> None:
        self.patches = list(patches)
        self.views: list[StudyView] = []
        self.told: list[int] = []

    def ask(self, asked: StudyView, n: int) -> list[Proposal]:
        self.views.append(asked)
        patch = self.patches[min(len(self.views), len(self.patches)) - 1]
        best = next((t.proposal.params for t in asked.trials if t.number == asked.incumbent), NUMBERS.defaults())
        return [Proposal(best, patch=patch, rationale="as a test says")]

    def tell(self, trial: Trial) -> None:
        self.told.append(trial.number)

    def notices(self) -> list[str]:
        return ["the patcher says hello"]


def make(monkeypatch: pytest.MonkeyPatch, *patches: str | None, **options: Any) -> tuple[Any, Patcher]:
    patcher = Patcher(patches)
    monkeypatch.setattr(changes, "build_policy", lambda node, where: patcher)
    return discover().build("policy", {"name": "hybrid", "diffs": {"name": "patcher"}, **STALLED, **options}), patcher


def score(proposal: Proposal, worth: dict[str | None, float]) -> float:
    x, k = proposal.params["x"], proposal.params["k"]
    assert isinstance(x, float) and isinstance(k, int)
    return 0.5 - (x - 0.7) ** 2 / 4 - (k - 7) ** 2 / 400 + worth[proposal.patch]


def campaign(policy: Any, worth: dict[str | None, float], count: int, program: Program | None = PROGRAM) -> list[Trial]:
    done: list[Trial] = []
    for number in range(1, count + 1):
        best = max(done, key=lambda t: t.score or 0.0).number if done else 0
        where = replace(view(NUMBERS, done, seed=3), program=program, incumbent=best)
        proposal = policy.ask(where, 1)[0]
        done.append(replace(scored(number, score(proposal, worth)), proposal=proposal))
        policy.tell(done[-1])
    return done


def by(arm: str, trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.proposal.rationale.startswith(f"{arm}:")]


def test_when_progress_stalls_the_program_is_changed_and_the_sampler_goes_on_from_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy, patcher = make(monkeypatch, "bad", "good", "none")
    done = campaign(policy, {None: 0.0, "bad": -0.3, "good": 0.4, "none": 0.0}, 24)
    tried = [trial.proposal.patch for trial in by("diff", done)]
    assert tried[:2] == ["bad", "good"]
    assert len(tried) <= 0.3 * 24 + 1
    first = next(trial.number for trial in done if trial.proposal.patch == "good")
    later = [trial for trial in by("model", done) if trial.number > first]
    assert later and {trial.proposal.patch for trial in later} == {"good"}
    assert {trial.proposal.patch for trial in by("model", done) if trial.number < first} == {None}
    last = max(trial.score or 0.0 for trial in done)
    assert last > 0.88, "what was learnt of the parameters before is not lost"
    assert patcher.told == [trial.number for trial in done]
    assert policy.notices() == ["the patcher says hello"]


def test_no_program_and_no_patch_leave_the_sampler_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, patcher = make(monkeypatch, "good")
    assert by("diff", campaign(policy, {None: 0.0}, 12, program=None)) == []
    assert patcher.views == []
    policy, patcher = make(monkeypatch, None)
    done = campaign(policy, {None: 0.0}, 12)
    assert by("diff", done) == [] and patcher.views
    assert any("patcher proposed no change of the program" in trial.proposal.rationale for trial in by("model", done))


def test_proposals_of_one_round_are_known_to_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, patcher = make(monkeypatch, "one", "two", outside_share=1.0)
    done = campaign(policy, {None: 0.0, "one": 0.0, "two": 0.0}, 8)
    where = replace(view(NUMBERS, done, seed=3), program=PROGRAM, incumbent=done[-1].number)
    patcher.views.clear()
    proposals = policy.ask(where, 4)
    running = [len(asked.running) for asked in patcher.views]
    assert running == sorted(running) and len(proposals) == 4


def test_gains_of_two_programs_are_compared_where_both_were_tried() -> None:
    point, other = {"x": 1.0}, {"x": 2.0}
    runs = [
        Run(None, point, 1.0),
        Run(None, point, 2.0),
        Run("a", point, 4.0),
        Run("a", other, 5.0),
        Run("b", other, 3.0),
    ]
    assert offsets(runs, "b") == {"b": 0.0, "a": -2.0, None: 0.5}
    assert offsets([*runs, Run("c", {"x": 9.0}, 1.0)], None) == {None: 0.0, "a": -2.5, "b": -0.5}
    assert offsets([], "d") == {"d": 0.0}


def test_what_failed_under_another_program_says_nothing_of_parameters() -> None:
    trials = [
        scored(1, 0.5, NUMBERS.defaults()),
        replace(failed(2, {"x": 0.9, "y": 0.1, "k": 1}), proposal=Proposal({"x": 0.9, "y": 0.1, "k": 1}, patch="a")),
    ]
    known = sort_out(view(NUMBERS, trials), [])
    assert (len(known.outcomes), len(known.failed), len(known.tallies)) == (1, 0, 2)
    assert known.tried == [NUMBERS.defaults()]


def test_a_policy_for_diffs_that_is_not_there_is_refused_with_a_suggestion() -> None:
    with pytest.raises((SetupError, UsageError), match="llm_diff"):
        discover().build("policy", {"name": "hybrid", "diffs": {"name": "llm_dif"}})
