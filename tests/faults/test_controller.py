"""Faults 1 to 9 and 11 to 14: the controller is killed at every kind of point at which it changes the world."""

import json
import random
import signal
import socket
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import pytest
from crashes import Crashes, whole

from core.journal import events as ev
from support import overnight
from witness import events, none_left, processes_of, wait_for

INTENT = "commit BudgetReserved + JobIntended"
TRAINED = "commit JobEnded + BudgetSettled"
SCORED = "commit JobEnded + BudgetSettled + TrialEvaluated"
KEPT = "commit TrialDecided + TrialEnded + IncumbentChanged"
PREFLIGHT = "commit JobEnded + BudgetSettled + PreflightDone"
BASELINE = "commit JobEnded + BudgetSettled + ItemsSetAside + TrialEvaluated"
# What comes once in a study, at its beginning or end, or seldom after its beginning.
BEGINNINGS = [
    f"{when} {what}"
    for what in ("commit StudyCreated + CertificationPlanned", PREFLIGHT, BASELINE, "commit TrialEnded", KEPT)
    for when in ("before", "after")
]
ENDINGS = (
    "before commit CertificationStarted",
    "after commit CertificationStarted",
    "before commit TrialCertified",
    "after commit TrialCertified",
    "before commit TestOpened",
    "after commit TestOpened",
    "before commit StudyFinished",
    "after commit StudyFinished",
    "before putting a file of the report into its place",
    "after putting a file of the report into its place",
)
# Once when a controller begins, and perhaps again at the end.
SELDOM = {f"{when} {what}" for when in ("before", "after")
          for what in ("reaping", "commit PlanMade", "commit ControllerStarted")}  # fmt: skip
# Occurrences: the 1st job prepares, the 2nd evaluates the baseline, then trials train and are evaluated.
CASES = [
    pytest.param([(f"before {INTENT}", 1), (f"before {INTENT}", 2)],
                 marks=pytest.mark.fault(1, "controller killed before the intent", "nothing started")),
    pytest.param([(f"after {INTENT}", 3), ("before submit", 1), ("after making the job's folder", 1)],
                 marks=pytest.mark.fault(2, "killed after the intent, before submit", "submitted once on resume")),
    pytest.param([("before starting the job", 3), ("after starting the job", 1)],
                 marks=pytest.mark.fault(3, "killed during submit, the answer lost", "found by token or retried")),
    pytest.param([("after submit", 2), ("before commit JobSubmitted", 2)],
                 marks=pytest.mark.fault(4, "killed before the handle is recorded", "adopted, or retried if it died")),
    pytest.param([("after commit JobSubmitted", 3), ("after commit JobSubmitted", 1)],
                 marks=pytest.mark.fault(5, "killed during training", "adopted, or retried if it died")),
    pytest.param([("before collect", 3), ("after putting the checkpoint into its place", 1),
                  (f"before {TRAINED}", 1), (f"before {SCORED}", 1)],
                 marks=pytest.mark.fault(6, "killed after a result, before it is journaled", "never decided twice")),
    pytest.param([("after commit JobSubmitted", 2), (f"after {TRAINED}", 1), (f"after {SCORED}", 1)],
                 marks=pytest.mark.fault(7, "killed during evaluation", "evaluated once")),
]  # fmt: skip


def crashes(tmp_path: Path, *settings: str, trials: int = 2) -> Crashes:
    return Crashes(tmp_path / "study", trials, settings)


@pytest.mark.slow
@pytest.mark.parametrize("points", CASES)
def test_killed_at_a_point_then_resumed(tmp_path: Path, points: list[tuple[str, int]], tally: Any) -> None:
    study = crashes(tmp_path)
    study.sweep(points)
    assert not study.missed, study.output
    study.finish()
    study.tell(tally)


@pytest.mark.fault(1, "controller killed before the intent", "nothing started")
def test_killed_while_the_study_is_made_then_the_same_command_again(tmp_path: Path, tally: Any) -> None:
    study = crashes(tmp_path)
    study.sweep(
        [
            ("before commit StudyCreated + CertificationPlanned", 1),
            ("after commit StudyCreated + CertificationPlanned", 1),
        ]
    )
    assert not study.missed, study.output
    study.finish()
    study.tell(tally)


@pytest.mark.fault(8, "killed after the decision, before the trackers", "told once")
def test_trackers_are_told_of_every_trial_and_not_again(tmp_path: Path, tally: Any) -> None:
    study = crashes(tmp_path, "tracker=jsonlines")
    study.sweep([(f"after {KEPT}", 1), ("after commit TrackersTold", 1)])
    study.finish()
    study.tell(tally)
    told = [event.trial for event in events(study.directory) if isinstance(event, ev.TrackersTold)]
    assert sorted(told) == [0, 1, 2]
    lines = [json.loads(line) for line in (study.directory / "events.jsonl").read_text().splitlines()]
    finished = [line["trial"] for line in lines if line["hook"] == "trial_finished"]
    assert set(finished) == {0, 1, 2}
    # Between the call and its record lies an instant in which a kill makes the next controller tell it again.
    assert len(finished) <= 3 + len(study.killed)


@pytest.mark.slow
@pytest.mark.fault(9, "killed during the report", "remade")
def test_a_report_that_was_cut_off_is_made_again(tmp_path: Path, tally: Any) -> None:
    study = crashes(tmp_path)
    study.sweep(
        [
            ("before putting a file of the report into its place", 2),
            ("after putting a file of the report into its place", 1),
        ]
    )
    assert len(study.killed) == 2
    assert study.finished()
    whole(study.directory)
    assert not list(study.directory.glob(".*.partial-*"))
    study.tell(tally)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.fault(11, "SIGTERM", "resumable, nothing left running")),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.fault(12, "Ctrl-C once", "resumable, nothing left running")),
    ],
)
def test_a_signal_stops_in_good_order(tmp_path: Path, number: signal.Signals, code: int, tally: Any) -> None:
    study = crashes(tmp_path, "task.step_s=0.2", trials=3)
    controller = study.start()
    wait_for(study.directory, ev.TrialEnded, 2)
    controller.send_signal(number)
    output, _ = controller.communicate(timeout=60)
    assert controller.returncode == code, output
    assert f"python -m core resume {study.directory}" in output
    study.killed.append(number.name)
    study.orphans += 0 if none_left(study.directory) else len(list(processes_of(study.directory)))
    study.finish()
    study.tell(tally)


@pytest.mark.slow
@pytest.mark.fault(13, "Ctrl-C twice", "immediate, and still nothing is left")
def test_the_second_ctrl_c_ends_it_at_once(tmp_path: Path, tally: Any) -> None:
    study = crashes(tmp_path, "task.fault=hang", "grace_s=60")
    controller = study.start()
    wait_for(study.directory, ev.JobSubmitted, 3)
    controller.send_signal(signal.SIGINT)
    time.sleep(0.8)
    began = time.monotonic()
    controller.send_signal(signal.SIGINT)
    assert controller.wait(timeout=30) == 130
    assert time.monotonic() - began < 5
    tally.injected += 1
    tally.orphaned += 0 if none_left(study.directory) else len(list(processes_of(study.directory)))


@pytest.mark.slow
@pytest.mark.fault(14, "a second controller", "refused, with pid and host of the first")
def test_a_second_controller_is_refused(tmp_path: Path, tally: Any) -> None:
    study = crashes(tmp_path, "task.step_s=0.3")
    controller = study.start()
    wait_for(study.directory, ev.TrialProposed, 2)
    second = overnight("resume", study.directory, cwd=tmp_path)
    assert second.returncode == 4
    assert f"process {controller.pid} on {socket.gethostname()}" in second.stderr
    assert controller.wait(timeout=60) == 0
    study.killed.append("a second controller")
    study.tell(tally)


@pytest.mark.slow
@pytest.mark.fault(5, "killed during training", "adopted, or retried if it died")
def test_a_lost_trial_goes_on_from_its_partial_checkpoint(tmp_path: Path, tally: Any) -> None:
    study = crashes(tmp_path, "task.steps=40", "task.step_s=0.1", "partial_every_s=0.2", trials=1)
    controller = study.start()
    wait_for(study.directory, ev.JobSubmitted, 3)
    time.sleep(3)
    controller.kill()
    controller.communicate()
    study.killed.append("SIGKILL")
    study.orphans += 0 if none_left(study.directory) else 1
    study.finish()
    study.tell(tally)
    notices = [event.text for event in events(study.directory) if isinstance(event, ev.Noticed)]
    assert any("starting attempt 2 from its partial checkpoint" in text for text in notices), notices
    steps = [
        json.loads(line)["step"] for line in (study.directory / "trials/0001/metrics.jsonl").read_text().splitlines()
    ]
    assert 1 < steps[0] <= 40
    assert steps[-1] == 40
    assert not (study.directory / "trials" / "0001" / "partial").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.fault(1, "controller killed before the intent", "nothing started")
def test_a_study_of_fifty_trials_killed_at_every_point_there_is(tmp_path: Path, tally: Any) -> None:
    """Every kind of point that an undisturbed study passes, in a seeded order, again and again; the
    points that come once, at the end, come last."""
    first = Crashes(tmp_path / "rehearsal", 8)  # enough for certification
    assert first.controller("none", 1) == 0
    kinds = Counter((tmp_path / "trace").read_text().splitlines())
    once = [kind for kind in ENDINGS if kind in kinds]
    often = sorted(set(kinds) - set(once) - set(BEGINNINGS))
    rng = random.Random(7)
    todo = deque([*BEGINNINGS, *rng.sample(often, len(often))])
    study, killed, missed = Crashes(tmp_path / "study", 50), set[str](), Counter[str]()
    while todo:
        kind = todo.popleft()
        study.sweep([(kind, 1 if kind in BEGINNINGS or kind in SELDOM else rng.randint(1, 2))])
        if study.missed:  # it came too seldom, and the study ran to its end: the next one goes on
            missed.update(study.missed)
            assert missed[kind] < 4, f"{kind} never comes"
            killed |= set(study.killed)
            study.tell(tally)
            study = Crashes(tmp_path / f"study-{missed.total()}", 50)
            todo.append(kind)
    study.sweep([(kind, 1) for kind in once])
    study.finish()
    assert sorted(set(kinds) - set(study.killed) - killed) == [], "some kind of point was never the last"
    study.tell(tally)
