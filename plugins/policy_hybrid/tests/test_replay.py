"""Policy `replay`, the memory of `hybrid`, and the door through which both read a recorded study."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import FloatParam, IntParam, Policy, SetupError, Space, recorded_study
from core.plugins import discover
from core.testing.trials import running, scored, view

Record = Callable[..., Path]
SPACE = Space({"x": FloatParam(low=0.0, high=1.0, default=0.5), "k": IntParam(low=1, high=9, default=2)})
TRIED = [({"x": 0.1, "k": 3}, 0.3), ({"x": 0.9, "k": 4}, None), ({"x": 0.2, "k": 5}, 0.7), ({"x": 0.1, "k": 3}, 0.5)]


def make(name: str, **options: Any) -> Policy:
    return discover().build("policy", {"name": name, **options})


@pytest.fixture
def study(tmp_path: Path, record: Record) -> Path:
    return record(tmp_path / "earlier", SPACE, TRIED, retests=[4])


def test_a_recorded_study_is_read_and_its_journal_left_as_it_is(study: Path) -> None:
    before = (study / "journal.db").read_bytes()
    found = recorded_study(study)
    assert (found.name, found.seed, dict(found.space)) == ("earlier", 5, dict(SPACE))
    assert [(trial.number, trial.status, trial.score) for trial in found.trials] == [
        (1, "completed", 0.3),
        (2, "failed", None),
        (3, "completed", 0.7),
        (4, "completed", 0.5),
    ]
    assert (study / "journal.db").read_bytes() == before


@pytest.mark.parametrize("name", ["replay", "hybrid"])
def test_where_no_study_is_the_error_says_so(name: str, tmp_path: Path) -> None:
    option = {"replay": "study", "hybrid": "memory"}[name]
    with pytest.raises(SetupError, match="nowhere is no study: there is no such directory"):
        make(name, **{option: str(tmp_path / "nowhere")})
    with pytest.raises(SetupError, match=r"is no study: it has no journal\.db"):
        make(name, **{option: str(tmp_path)})


def test_a_replay_needs_a_study_that_proposed_something(tmp_path: Path, record: Record) -> None:
    with pytest.raises(SetupError, match=r"needs the directory of a recorded study: policy\.study=DIR"):
        make("replay")
    with pytest.raises(SetupError, match="proposed nothing yet"):
        make("replay", study=str(record(tmp_path / "empty", SPACE, [])))


def test_a_replay_proposes_what_was_recorded_in_order_without_retests_and_then_ends(study: Path) -> None:
    first, second, third = make("replay", study=str(study)).ask(view(SPACE), 5)
    assert [first.params, second.params, third.params] == [params for params, _ in TRIED[:3]]
    assert first.rationale == "replay of trial 1 (1 of 3): recorded 1"
    assert third.rationale == "replay of trial 3 (3 of 3, the last): recorded 3"
    retest = scored(4, 0.5, first.params)
    done = [scored(1, 0.5, first.params), replace(retest, proposal=replace(first, retest=True))]
    where = view(SPACE, done, [running(2, second.params)])
    assert make("replay", study=str(study)).ask(where, 1) == [third]
    over = view(SPACE, [scored(i, 0.5, params) for i, (params, _) in enumerate(TRIED[:3], 1)])
    assert make("replay", study=str(study)).ask(over, 1) == []


def test_a_replay_can_train_with_the_recorded_seeds(study: Path) -> None:
    recorded = recorded_study(study)
    found = make("replay", study=str(study), same_seeds=True).ask(view(SPACE), 3)
    assert [proposal.seed for proposal in found] == [trial.training_seed(5) for trial in recorded.trials[:3]]


def test_a_replay_on_another_space_names_the_trial_and_the_parameter(study: Path) -> None:
    narrow = Space({**SPACE, "k": IntParam(low=1, high=4, default=2)})
    with pytest.raises(SetupError, match=r"trial 3 of .* does not fit .*: parameter 'k': 5 is outside 1 … 4"):
        make("replay", study=str(study)).ask(view(narrow), 1)
    with pytest.raises(SetupError, match=r"trial 1 of .*unknown parameter 'k'"):
        make("replay", study=str(study)).ask(view(Space({"x": SPACE["x"]})), 1)


def test_a_copied_study_is_replayed_alike(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "copy")
    here, there = (make("replay", study=str(place)).ask(view(SPACE), 3) for place in (study, tmp_path / "copy"))
    assert here == there


def test_memory_gives_the_best_points_of_an_earlier_study_runs_of_one_point_averaged(
    tmp_path: Path, record: Record
) -> None:
    tried = [({"x": 0.1, "k": 3}, 0.9), ({"x": 0.1, "k": 3}, 0.1), ({"x": 0.2, "k": 5}, 0.7), ({"x": 0.3, "k": 6}, 0.2)]
    for direction, best in (("maximize", {"x": 0.2, "k": 5}), ("minimize", {"x": 0.3, "k": 6})):
        place = record(tmp_path / direction, SPACE, tried, direction)
        found = make("hybrid", memory=str(place), default_first=False).ask(view(SPACE), 2)
        assert found[0].params == best
        assert found[1].params == {"x": 0.1, "k": 3}
        assert found[1].rationale == "prior: trial 1 of the earlier study earlier"


def test_memory_of_another_space_gives_what_it_shares(tmp_path: Path, record: Record) -> None:
    place = record(tmp_path / "other", SPACE, [({"x": 0.25, "k": 9}, 0.9)])
    space = Space({"x": SPACE["x"], "z": FloatParam(low=0.0, high=1.0, default=0.1)})
    assert make("hybrid", memory=str(place), default_first=False).ask(view(space), 1)[0].params == {"x": 0.25, "z": 0.1}
