"""A study follows an executor whose room changes, and waits for one that has none just now."""

from collections.abc import Callable
from typing import Any

import pytest

from core.contracts import Caps, OutOfStock
from core.errors import StudyStopped
from core.study import capacity, patience
from core.study.launch import Outcome
from overnight_example.executor import SubprocessExecutor

Run = Callable[..., Outcome]
EXAMPLE = {"name": "example_subprocess", "slots": 1}


def test_more_room_is_used_and_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def caps(self: SubprocessExecutor) -> Caps:
        asked.append(1)
        return Caps(slots=1 if len(asked) == 1 else 3, elastic=True)

    monkeypatch.setattr(SubprocessExecutor, "caps", caps)
    monkeypatch.setattr(capacity, "ASK_EVERY_S", 0.3)
    outcome = run(executor=EXAMPLE, budget={"trials": 4}, task={"name": "quadratic", "step_s": 0.2})
    texts = [notice.text for notice in outcome.facts.notices]
    assert "the executor has room for 3 jobs at once now, it was 1" in texts
    assert outcome.exit_code == 0


def test_an_executor_that_does_not_answer_keeps_what_it_said_last() -> None:
    class Silent:
        def caps(self) -> Caps:
            raise ConnectionError("no answer")

    asking = capacity.Capacity(Caps(elastic=True))
    assert asking.question(Silent()) is None, "not at once"  # type: ignore[arg-type]
    asking._next = 0.0
    question = asking.question(Silent())  # type: ignore[arg-type]
    assert question is not None
    assert question() is None
    assert capacity.Capacity(Caps()).question(Silent()) is None  # type: ignore[arg-type]


def test_a_stock_out_is_waited_for_and_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, refused = SubprocessExecutor.submit, []

    def scarce(self: SubprocessExecutor, job: Any, token: str) -> Any:
        if "/train/" in token and len(refused) < 6:
            refused.append(token)
            raise OutOfStock("there is no A100 just now")
        return submit(self, job, token)

    monkeypatch.setattr(SubprocessExecutor, "submit", scarce)
    monkeypatch.setattr(patience, "_LONGEST_PAUSE_S", 0.05)
    outcome = run(executor=EXAMPLE, budget={"trials": 1})
    assert outcome.exit_code == 0
    assert len(refused) == 6
    assert any("there is no A100 just now" in n.text and "360 minutes" in n.text for n in outcome.facts.notices)


def test_a_stock_out_that_lasts_stops_the_study_which_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_LONGEST_PAUSE_S", 0.01)

    def never() -> None:
        raise OutOfStock("there is no A100 just now")

    with pytest.raises(StudyStopped, match="after 5 tries in 0 s: OutOfStock: there is no A100"):
        patience.persist(never, "could not submit x", patience.Patience(stock_out_s=0.0))
