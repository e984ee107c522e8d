"""Policy `agent`: takes what is queued, once, in order, and only what is sound."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from core import (
    BudgetView,
    FloatParam,
    Objective,
    Program,
    Proposal,
    Space,
    StudyView,
    Trial,
    queue_request,
    request_end,
)
from core.plugins import discover

SPACE = Space({"x": FloatParam(low=0.0, high=1.0, default=0.5)})
PROGRAM = Program({"train.py": "RATE = 1\n"})


def view(directory: Path, *trials: Trial, **more: Any) -> StudyView:
    return StudyView(SPACE, Objective("accuracy"), 1, trials=trials, directory=directory, program=PROGRAM, **more)


def policy(**options: Any) -> Any:
    return discover().build("policy", {"name": "agent", "wait_s": 0.5, **options})


FIRST = Trial(1, Proposal({"x": 0.5}), "completed")


def test_what_was_queued_is_taken_in_order_and_once(tmp_path: Path) -> None:
    queued = [queue_request(tmp_path, {"x": x}, why="an idea") for x in (0.1, 0.2, 0.3)]
    made = policy()
    found = made.ask(view(tmp_path, FIRST), 2)
    assert [one.params["x"] for one in found] == [0.1, 0.2]
    assert made.ask(view(tmp_path, FIRST), 2) == found == policy().ask(view(tmp_path, FIRST), 2)
    running = tuple(Trial(2 + place, one) for place, one in enumerate(found))
    (last,) = policy().ask(view(tmp_path, FIRST, running=running), 2)
    assert last.params == {"x": 0.3}
    assert last.rationale == f"agent: an idea [{queued[2].id}]"


def test_it_waits_for_what_is_queued_later(tmp_path: Path) -> None:
    threading.Timer(0.3, lambda: queue_request(tmp_path, {"x": 0.4})).start()
    (found,) = policy(wait_s=20).ask(view(tmp_path, FIRST), 1)
    assert found.params == {"x": 0.4}


@pytest.mark.parametrize("why", ["wait_s", "finish", "budget", "stopping"])
def test_it_stops_waiting_for_a_reason(tmp_path: Path, why: str) -> None:
    more: dict[str, Any] = {}
    if why == "finish":
        request_end(tmp_path)
    if why == "budget":
        more["budget"] = BudgetView(seconds=0.2)
    if why == "stopping":
        more["purse"] = type("Purse", (), {"closed": True})()
    began = time.monotonic()
    assert policy(wait_s=0.5 if why == "wait_s" else 60).ask(view(tmp_path, FIRST, **more), 1) == []
    assert time.monotonic() - began < 5


def test_what_is_not_sound_is_left_out_and_said_once(tmp_path: Path) -> None:
    queue_request(tmp_path, {"x": 7.0})
    queue_request(tmp_path, {"x": 0.1}, patch="--- a/evil.py\n+++ b/evil.py\n@@ -0,0 +1 @@\n+1\n")
    (tmp_path / "requests" / "0.json").write_text("{")
    (tmp_path / "requests" / "1.json").write_text('{"params": 3}')
    queue_request(tmp_path, {"x": 0.2}, patch=PROGRAM.diff(Program({"train.py": "RATE = 2\n"})), parent=1)
    made = policy()
    for _ in range(2):
        (found,) = made.ask(view(tmp_path, FIRST), 3)
        assert (found.params, found.parent) == ({"x": 0.2}, 1)
    said = made.notices()
    assert len(said) == 2
    assert "outside 0 … 1" in said[0] and "touches evil.py" in said[1]
    assert made.notices() == []


def test_the_first_trial_is_the_task_as_it_is(tmp_path: Path) -> None:
    queue_request(tmp_path, {"x": 0.1})
    assert [one.params for one in policy().ask(view(tmp_path), 2)] == [{"x": 0.5}]
    assert [one.params for one in policy(default_first=False).ask(view(tmp_path), 2)] == [{"x": 0.1}]
