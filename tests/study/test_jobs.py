"""What a job is told: inputs that travel, the kind of machine of evaluations, the price that is reserved."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.contracts import Caps, Job, Offer
from core.study.launch import Outcome
from overnight_example.executor import SubprocessExecutor
from overnight_example.task import Quadratic

Run = Callable[..., Outcome]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that were submitted to the example executor."""
    submit, found = SubprocessExecutor.submit, []

    def watched(self: SubprocessExecutor, job: Job, token: str) -> Any:
        found.append(job)
        return submit(self, job, token)

    monkeypatch.setattr(SubprocessExecutor, "submit", watched)
    return found


def reading(path: Path) -> type[Quadratic]:
    """The example task with a local input (a class of its own: whether a class fits a protocol is remembered)."""

    class Reading(Quadratic):
        def local_inputs(self) -> dict[str, Path]:
            return {"fault": path}

    return Reading


def test_local_inputs_travel_where_machines_do_not_see_them(
    run: Run, jobs: list[Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = tmp_path / "data.txt"
    data.write_text("7")
    monkeypatch.setattr("overnight_example.task.Quadratic", reading(data))
    monkeypatch.setattr(SubprocessExecutor, "caps", lambda self: Caps(slots=1, shares_files=False))
    outcome = run(executor={"name": "example_subprocess", "slots": 1}, budget={"trials": 1})
    assert outcome.exit_code == 0
    assert {job.files["inputs/fault/data.txt"] for job in jobs} == {data}
    spec = json.loads(jobs[0].files["spec.json"].read_text())
    assert spec["inputs"] == {"fault": "inputs/fault/data.txt"}


def test_local_inputs_stay_where_machines_see_them(run: Run, jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overnight_example.task.Quadratic", reading(Path("/etc/hostname")))
    run(executor={"name": "example_subprocess", "slots": 1}, budget={"trials": 1})
    assert not any(name.startswith("inputs/") for job in jobs for name in job.files)


def test_evaluations_stay_on_the_baselines_kind_of_machine(
    run: Run, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = SubprocessExecutor.poll

    def poll(self: SubprocessExecutor, handles: Any) -> Any:
        return [replace(seen, hardware="A100 ×1") for seen in observe(self, handles)]

    monkeypatch.setattr(SubprocessExecutor, "poll", poll)
    run(executor={"name": "example_subprocess", "slots": 1}, budget={"trials": 1})
    kinds = {job.token.split("/", 1)[1]: job.hardware for job in jobs}
    assert kinds["0000/validation/a1"] is None
    assert kinds["0001/train/a1"] is None
    assert kinds["0001/validation/a1"] == kinds["0001/test/a1"] == kinds["0000/test/a1"] == "A100 ×1"


def test_a_job_knows_the_price_that_is_reserved_for_it(
    run: Run, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SubprocessExecutor, "offers", lambda self, request: [Offer("A100", 1.29)])
    run(executor={"name": "example_subprocess", "slots": 1}, budget={"trials": 1, "usd": 50.0})
    assert {round(job.max_usd_per_hour or 0.0, 6) for job in jobs} == {1.29}
    assert [job.mirrored for job in jobs if "/train/" in job.token] == [("partial",)]
