"""Preflight: what a task checks and measures before the first trial, and what the study makes of it."""

from collections.abc import Callable
from typing import Any

import pytest

from core.console.facts import status_json
from core.errors import UsageError
from core.plugins import discover
from core.report.markdown import report_markdown
from core.study.launch import Outcome, read_facts, resume

Run = Callable[..., Outcome]


def task(fault: str) -> dict[str, Any]:
    return {"name": "quadratic", "fault": fault}


def test_figures_and_warnings_are_in_journal_status_and_report(run: Run) -> None:
    outcome = run(task=task("doubtful"), budget={"trials": 1})
    assert outcome.exit_code == 0
    facts = read_facts(outcome.facts.study.directory)
    assert facts.preflight is not None
    assert facts.preflight.figures == {"width": 4.0, "x": 1.5}
    assert "preflight: task.space.x: is wide" in [notice.text for notice in facts.notices]
    assert status_json(facts)["preflight"]["warnings"] == ["task.space.x: is wide"]
    report = report_markdown(facts)
    assert "## Preflight" in report
    assert "| width | 4 |" in report


def test_a_refusal_ends_the_study_before_any_trial_and_resume_may_overrule_it(run: Run) -> None:
    outcome = run(task=task("hopeless"), budget={"trials": 1})
    assert outcome.exit_code == UsageError.exit_code
    assert "task.space.x: nothing can be learned (to go on all the same: guard.preflight=warn)" in outcome.error
    assert [trial.number for trial in outcome.facts.study.trials] == [0]
    assert outcome.facts.preflight is not None
    directory = outcome.facts.study.directory
    assert resume(directory, discover()).exit_code == UsageError.exit_code, "nothing changed, so it refuses again"
    again = resume(directory, discover(), change=lambda old: {**old, "guard": {"preflight": "warn"}})
    assert again.exit_code == 0
    texts = [notice.text for notice in again.facts.notices]
    assert "preflight: task.space.x: nothing can be learned" in texts
    assert again.facts.study.trial(1).status == "completed"


def test_off_measures_nothing(run: Run) -> None:
    outcome = run(task=task("hopeless"), budget={"trials": 1}, guard={"preflight": "off"})
    assert (outcome.exit_code, outcome.facts.preflight) == (0, None)


def test_a_task_that_knows_it_cannot_work_says_so_before_anything_is_made(tmp_path: Any, run: Run) -> None:
    with pytest.raises(UsageError, match=r"task\.fault: says that this cannot work; choose another"):
        run(task=task("check"))
    assert not list(tmp_path.rglob("journal.db"))
