"""A study whose trials carry patches: placed, checked, sandboxed, and kept as commits."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.contracts import Program, Proposal, StudyView, Trial
from core.contracts.codec import to_plain
from core.plugins import discover
from core.study.launch import Outcome
from core.study.layout import Layout
from core.study.program import ProgramLog, program_of
from overnight_policy_basic.random_search import RandomSearch

Run = Callable[..., Outcome]

TRAIN = """import json, os
x = float(os.environ["AR_PARAM_X"])
json.dump({"x": x}, open(os.path.join(os.environ["AR_MODEL_DIR"], "model.json"), "w"))
print(f"loss={(x - 2) ** 2}", "secret" if os.environ.get("API_KEY") else "no secret")
"""
EVALUATE = """import json, os, random
x = 0.0
if os.environ.get("AR_MODEL_DIR"):
    x = json.load(open(os.path.join(os.environ["AR_MODEL_DIR"], "model.json")))["x"]
split = os.environ["AR_SPLIT"]
rng = random.Random(split)
with open(os.environ["AR_ITEMS_FILE"], "w") as file:
    for i in range(40):
        file.write(json.dumps({"id": f"{split}-{i}", "score": float(rng.random() * 2 > abs(x - 2))}) + "\\n")
"""


def patch(old: str, new: str) -> str:
    """A patch that replaces a line of train.py."""
    return Program({"train.py": TRAIN}).diff(Program({"train.py": TRAIN.replace(old, new)}))


BETTER = patch('float(os.environ["AR_PARAM_X"])', "2.0  # the goal")


@pytest.fixture
def task(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "task"
    folder.mkdir()
    for name, text in {"train.py": TRAIN, "evaluate.py": EVALUATE, "program.md": "Make it better."}.items():
        (folder / name).write_text(text)
    space = {"x": {"type": "float", "low": 0.0, "high": 4.0, "default": 1.0}}
    return {"name": "script", "folder": str(folder), "prepare": None, "metric": "hit_rate", "space": space}


@pytest.fixture
def proposing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[StudyView]]:
    """proposing(patch, …): the study's policy proposes these patches in turn; returns what it is shown."""

    def _proposing(*patches: str | None) -> list[StudyView]:
        seen: list[StudyView] = []

        def ask(self: RandomSearch, view: StudyView, n: int) -> list[Proposal]:
            seen.append(view)
            rest = patches[view.proposed : view.proposed + 1]
            return [Proposal(view.space.defaults(), one, rationale="an\x1b idea") for one in rest]

        monkeypatch.setattr(RandomSearch, "ask", ask)
        return seen

    return _proposing


def git(directory: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(directory / "program"), *words], capture_output=True, text=True, check=True
    ).stdout


needs_bubblewrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="no bubblewrap here")


@needs_bubblewrap
def test_a_kept_patch_is_a_commit_and_the_work_tree_is_the_incumbent(
    run: Run, task: dict[str, Any], proposing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    seen = proposing(None, BETTER)
    outcome = run(task=task, budget={"trials": 2}, executor={"name": "local", "slots": 1})
    study, directory = outcome.facts.study, outcome.facts.study.directory
    assert [trial.status for trial in study.trials] == ["completed"] * 3, [trial.error for trial in study.trials]
    assert study.incumbent == 2
    assert seen[-1].program is not None and seen[-1].program.files == {"train.py": TRAIN}
    assert (seen[-1].program.about, seen[-1].directory) == ("Make it better.", directory)
    assert "2.0  # the goal" in (directory / "program" / "train.py").read_text()
    assert (directory / "trials" / "0002" / "patch.diff").read_text() == BETTER
    log = git(directory, "log", "--format=%s|%b", "study")
    assert log.splitlines()[0].startswith("Trial 2: hit_rate 1 [")
    assert "an idea" in log and "\x1b" not in log and "decision: " in log and "Overnight-Trial: 2" in log
    assert "The program as the task has it" in log
    assert "2.0  # the goal" in git(directory, "show", "trial/0002:train.py")
    assert any("Research log: git -C" in note for note in outcome.notes)
    assert "no secret" in (directory / "trials" / "0002" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (BETTER.replace("train.py", "evaluate.py"), "touches evaluate.py; only train.py may be changed"),
        pytest.param(patch('os.environ["AR_PARAM_X"]', "("), "train.py does not compile", marks=pytest.mark.slow),
    ],
)
def test_a_patch_that_fails_its_checks_fails_its_trial_before_anything_runs(
    run: Run, task: dict[str, Any], proposing: Any, given: str, words: str
) -> None:
    proposing(None, given)
    outcome = run(task=task, budget={"trials": 2}, executor={"name": "local", "slots": 1})
    trial = outcome.facts.study.trial(2)
    assert trial.status == "failed"
    assert "its patch is refused: " in (trial.error or "") and words in (trial.error or "")
    assert not (outcome.facts.study.directory / "trials" / "0002" / "log.txt").exists()
    assert trial.usd == trial.seconds == 0.0


@pytest.mark.slow
def test_without_bubblewrap_the_trial_fails_and_the_study_goes_on(
    run: Run, task: dict[str, Any], proposing: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(tools))
    proposing(BETTER, None)
    outcome = run(task=task, budget={"trials": 2}, executor={"name": "local", "slots": 1})
    refused, plain = outcome.facts.study.trial(1), outcome.facts.study.trial(2)
    assert (refused.status, refused.error_kind) == ("failed", "setup")
    assert "sandbox=off" in (refused.error or "")
    assert plain.status == "completed"


@pytest.mark.slow
def test_sandbox_off_runs_a_patch_like_any_trial(
    run: Run, task: dict[str, Any], proposing: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(tools))
    proposing(None, BETTER)
    outcome = run(task=task, budget={"trials": 2}, executor={"name": "local", "slots": 1}, sandbox="off")
    assert outcome.facts.study.trial(2).status == "completed"
    assert outcome.facts.study.incumbent == 2


@pytest.mark.slow
def test_a_resumed_study_keeps_the_program_it_began_with_and_catches_its_log_up(
    run: Run, task: dict[str, Any], proposing: Any
) -> None:
    proposing(None, BETTER)
    outcome = run(
        task=task, budget={"trials": 2}, executor={"name": "local", "slots": 1}, max_failures=1, sandbox="off"
    )
    directory = outcome.facts.study.directory
    first = git(directory, "rev-list", "--max-parents=0", "study")
    if outcome.facts.study.finished:  # as after a kill between the decision and the commit
        git(directory, "reset", "-q", "--hard", first.strip())

    (Path(task["folder"]) / "train.py").write_text("print('edited meanwhile')")
    built = discover().build("task", task)
    program = program_of(built, Layout(directory))
    assert program is not None and program.files == {"train.py": TRAIN}
    log = ProgramLog(program, directory)
    log.study_started(outcome.facts.study)
    log.study_started(outcome.facts.study)
    subjects = git(directory, "log", "--format=%s", "study").splitlines()
    assert [subject.partition(":")[0] for subject in subjects] == ["Trial 2", "The program as the task has it"]


def test_a_task_without_a_program_has_no_repository(run: Run) -> None:
    outcome = run(budget={"trials": 1})
    assert not (outcome.facts.study.directory / "program").exists()


@pytest.mark.slow
def test_a_proposals_patch_is_journaled(run: Run, task: dict[str, Any], proposing: Any) -> None:
    proposing(BETTER)
    outcome = run(task=task, budget={"trials": 1}, executor={"name": "local", "slots": 1}, sandbox="off")
    trial: Trial = outcome.facts.study.trial(1)
    assert trial.proposal.patch == BETTER
    assert json.dumps(to_plain(trial))
