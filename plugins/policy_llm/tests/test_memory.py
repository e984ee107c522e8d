"""Memory: an earlier study leaves its lessons and best points to the next; people steer between proposals."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai_stub import Say

from core import FloatParam, IntParam, Proposal, Space, StudyView, Trial, build_policy, recorded_study
from core.plugins import discover
from core.study.launch import create
from core.testing.trials import scored, view
from overnight_llm.memory import Earlier
from support import study_config


def answer(x: float, lesson: str = "") -> Say:
    return Say(f'{{"proposals": [{{"params": {{"x": {x}, "k": 3}}, "rationale": "r"}}], "lessons": ["{lesson}"]}}')


def test_an_earlier_study_leaves_its_lessons_and_best_points(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    stub = serve(answer(0.1, "x near 0 is good"), answer(0.3))
    node = {"name": "llm", "model": "openai/stub", "api_base": stub.url}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    directory = tmp_path / "first"
    config = study_config(directory, name="first", policy=node, budget={"trials": 2})
    assert create(config, directory, discover()).exit_code == 0
    first = recorded_study(directory)
    assert [trial.proposal.rationale[:7] for trial in first.trials] == ["default", "llm: r "]
    text = (directory / "lessons.md").read_text()
    assert "- x near 0 is good" in text
    (directory / "lessons.md").write_text(f"{text}\nNever trust k=8, says the owner.\n")

    heir = build_policy({**node, "memory": str(directory)})
    where = replace(view(first.space, objective=first.objective), directory=tmp_path / "second")
    start = heir.ask(where, 2)
    assert [proposal.rationale.partition(":")[0] for proposal in start] == ["default configuration", "memory"]
    assert start[1].params == {"x": 0.1, "k": 3} and "in the earlier study first" in start[1].rationale
    # From here on the second study is complete by itself: the first may go.
    shutil.rmtree(directory)
    done = [scored(i, 0.5, proposal.params) for i, proposal in enumerate(start, 1)]
    build_policy({**node, "memory": str(directory)}).ask(replace(where, trials=tuple(done)), 1)
    for told in ("What an earlier study of this task (first) found", "x near 0 is good", "Never trust k=8"):
        assert told in stub.prompts[-1]


def test_retests_skip_no_point_of_the_earlier_study(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    best, second = {"x": 0.1, "k": 3}, {"x": 0.2, "k": 4}
    found = Earlier("first", "", ((best, 0.9), (second, 0.8)))
    monkeypatch.setattr("overnight_policy_llm.llm.earlier", lambda *_: (found, []))
    heir = build_policy({"name": "llm", "model": "openai/stub", "api_base": serve().url, "memory": "first"})
    default = scored(1, 0.5, _space().defaults())
    again = Trial(2, Proposal(_space().defaults(), retest=True))
    assert [one.params for one in heir.ask(view(_space(), [default], [again]), 2)] == [best, second]
    ended = [default, replace(scored(2, 0.5), proposal=again.proposal), scored(3, 0.6, best)]
    assert [one.params for one in heir.ask(view(_space(), ended), 1)] == [second]


def test_a_person_steers_between_proposals_and_conclusions_are_kept(serve: Any, tmp_path: Path) -> None:
    stub = serve(answer(0.1, "x near 0 is good"), answer(0.3))
    policy = build_policy({"name": "llm", "model": "openai/stub", "api_base": stub.url})
    where: StudyView = replace(view(_space(), [scored(1, 0.4, {"x": 1.0, "k": 2})]), directory=tmp_path)
    policy.ask(where, 1)
    (tmp_path / "steering.md").write_text("Try k=7 next.")
    policy.ask(where, 1)
    assert "Try k=7 next." not in stub.prompts[0] and "Try k=7 next." in stub.prompts[1]
    assert "x near 0 is good (your own earlier conclusion)" in stub.prompts[1]


def test_memory_of_no_study_is_refused_with_the_reason(serve: Any, tmp_path: Path) -> None:
    node = {"name": "llm", "model": "openai/stub", "api_base": serve().url, "memory": str(tmp_path / "none")}
    with pytest.raises(Exception, match=r"policy\.memory"):
        build_policy(node).ask(view(), 1)


def _space() -> Space:
    return Space({"x": FloatParam(low=-2.0, high=2.0, default=1.5), "k": IntParam(low=1, high=8, default=2)})
