"""A worker's process: it does what the order says and leaves a result that is whole, whatever the task does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.worker.contexts import EvaluationContext
from core.worker.result import JobResult, read_items, read_result
from core.worker.spec import FILENAME
from core.worker.timing import GPU_MEMORY, MEMORY, STARTUP, Startup


def order(folder: Path, **changes: Any) -> Path:
    """A folder with a spec.json for the quick task."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = {"phase": "train", "task": {"name": "quadratic"}, "params": {"x": 0.5, "k": 2}, "deadline_s": 60.0}
    (folder / FILENAME).write_text(json.dumps({**spec, **changes}))
    return folder


def work(folder: Path) -> tuple[int, JobResult]:
    """Run the worker there: exit code and result."""
    done = subprocess.run([sys.executable, "-m", "core.worker"], cwd=folder, capture_output=True, check=False)
    result = read_result(folder)
    assert result is not None, done.stderr.decode()
    return done.returncode, result


def test_training_leaves_a_checkpoint_metrics_and_a_result(tmp_path: Path) -> None:
    code, result = work(order(tmp_path / "job"))
    assert (code, result.status, result.error) == (0, "succeeded", None)
    assert any((tmp_path / "job" / "checkpoint").iterdir())
    lines = [json.loads(line) for line in (tmp_path / "job" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    assert all(set(line) == {"step", "total", "seconds", "metrics"} for line in lines)
    assert not list((tmp_path / "job").glob("*.partial"))


def test_training_says_where_its_start_went_and_what_memory_it_held(tmp_path: Path) -> None:
    began = time.monotonic()
    _, result = work(order(tmp_path / "job"))
    whole = time.monotonic() - began
    parts = [result.details[name] for name in STARTUP[:3]]
    assert all(part >= 0 for part in parts)
    assert parts[0] > 0.02, "an interpreter does not start in no time"
    assert sum(parts) <= whole + 0.1
    assert 0.01 < result.details[MEMORY] < 100
    assert GPU_MEMORY not in result.details


def test_the_first_report_and_the_first_step_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    try:
        context = EvaluationContext(60.0, 1.0)
    finally:
        signal.signal(signal.SIGTERM, before)
    startup = Startup()
    startup.prepared()
    context.report(0, 5)
    time.sleep(0.05)
    context.report(1, 5, loss=1.0)
    context.report(2, 5, loss=1.0)
    found = startup.figures(context.first_report, context.first_step)
    assert tuple(found) == STARTUP
    assert 0.05 <= found["startup/first_step_s"] < 1
    assert startup.figures(None, None).keys() == set(STARTUP[:2])


def test_an_evaluation_has_its_items_beside_it_and_not_in_it(tmp_path: Path) -> None:
    code, result = work(order(tmp_path / "job", phase="validation", baseline=True))
    assert code == 0
    assert result.evaluation is not None
    assert result.evaluation.items == ()
    items = read_items(tmp_path / "job" / "evaluation.jsonl")
    assert len(items) == result.evaluation.n
    assert sum(item.score for item in items) / len(items) == pytest.approx(result.evaluation.value)


@pytest.mark.parametrize(
    ("changes", "code", "kind", "words"),
    [
        ({"task": {"name": "quadratic", "fault": "raise"}}, 1, "exception", "the gradient went"),
        ({"task": {"name": "quadratic", "fault": "no_checkpoint"}}, 1, "exception", "without leaving a checkpoint"),
        ({"task": {"name": "quadratik"}}, 2, "setup", "Did you mean quadratic?"),
        ({"task": {"name": "quadratic", "fold": 1}}, 2, "setup", "task.fold: unknown key"),
        ({"rewards": {"brevit": {"weight": 1.0}}}, 2, "setup", "Did you mean brevity?"),
        ({"params": {"x": 99.0, "k": 2}}, 1, "exception", "x"),
        ({"phase": "dream"}, 1, "exception", "phase"),
    ],
)
def test_what_goes_wrong_is_in_the_result(
    tmp_path: Path, changes: dict[str, Any], code: int, kind: str, words: str
) -> None:
    exit_code, result = work(order(tmp_path / "job", **changes))
    assert (exit_code, result.status, result.error_kind) == (code, "failed", kind)
    assert words in (result.error or "")


def test_sigterm_lets_training_save_and_says_that_it_stopped_early(tmp_path: Path) -> None:
    folder = order(tmp_path / "job", task={"name": "quadratic", "step_s": 0.3})
    process = subprocess.Popen([sys.executable, "-m", "core.worker"], cwd=folder)
    metrics, end = folder / "metrics.jsonl", time.monotonic() + 20
    while not (metrics.exists() and metrics.read_text()) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    result = read_result(folder)
    assert result is not None
    assert (result.status, result.stopped_early) == ("succeeded", True)
    assert any((folder / "checkpoint").iterdir())


def test_training_is_asked_to_stop_before_its_deadline(tmp_path: Path) -> None:
    folder = order(tmp_path / "job", task={"name": "quadratic", "step_s": 0.4}, deadline_s=1.0, stop_margin_s=5.0)
    code, result = work(folder)
    assert (code, result.stopped_early) == (0, True)


def test_preparing_processes_take_turns(tmp_path: Path) -> None:
    env = {**os.environ, "OVERNIGHT_CACHE": str(tmp_path / "cache")}
    folders = [order(tmp_path / name, phase="prepare") for name in ("a", "b", "c")]
    crowd = [subprocess.Popen([sys.executable, "-m", "core.worker"], cwd=folder, env=env) for folder in folders]
    assert [process.wait(timeout=60) for process in crowd] == [0, 0, 0]


def test_a_result_that_is_not_whole_is_none(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    (tmp_path / "result.json").write_text('{"status": "succ')
    assert read_result(tmp_path) is None
    (tmp_path / "evaluation.jsonl").write_text('{"id": "1"}\n')
    with pytest.raises(ValueError, match="not what an evaluator writes"):
        read_items(tmp_path / "evaluation.jsonl")
