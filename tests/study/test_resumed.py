"""What a resume must not do: go on after the test split was seen, hold old failures against a study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crashes import Crashes

from core.budget.ledger import Cost, Ledger
from core.contracts import Certificate, Handle, NotYet, Objective, OutOfStock, Proposal, SetupError, StudyView, Trial
from core.contracts.space import Space
from core.errors import StudyStopped
from core.guard.live import LiveGuard
from core.guard.settings import GuardSettings
from core.journal import events as ev
from core.journal.events import Entry
from core.journal.facts import Limits
from core.journal.fold import Fold, JobRecord
from core.plugins import discover
from core.study import afford, asking, bills, effects, patience, reaping
from core.study.known import KnownStudy
from core.study.launch import Outcome, read_facts, resume
from core.study.watch import JobWatch, take_steps
from support import overnight

Run = Callable[..., Outcome]


def entries(*events: Any) -> list[Entry]:
    return [Entry(seq, 0.0, float(seq), event) for seq, event in enumerate(events, 1)]


def folded(*events: Any) -> Fold:
    fold = Fold(Path("study"))
    for entry in entries(ev.StudyCreated("s", "s", Objective("accuracy"), {}, 1, {}), *events):
        fold.apply(entry)
    return fold


@pytest.mark.slow
def test_nothing_is_tried_after_the_test_split_was_opened(tmp_path: Path) -> None:
    study = Crashes(tmp_path / "study", 3)
    study.sweep([("after commit TestOpened", 1)])
    assert study.killed == ["after commit TestOpened"]
    resumed = overnight("resume", study.directory, "budget.trials=8", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    facts = read_facts(study.directory)
    assert len(facts.study.trials) == 4, "the larger budget opens no door"
    assert facts.study.finished == "the test split is open"
    assert all(facts.study.trial(number).test for number in facts.test_opened)


def test_failures_before_a_resume_are_not_held_against_it(run: Run) -> None:
    outcome = run(task={"name": "quadratic", "fault": "raise"}, budget={"trials": 7}, max_failures=3)
    assert outcome.exit_code == 3

    def mended(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "task": {**config["task"], "fault": "none"}}

    again = resume(outcome.facts.study.directory, discover(), change=mended)
    assert again.exit_code == 0, again.error
    assert again.facts.study.trials[-1].status == "completed"


def test_a_policy_with_nothing_to_say_is_not_asked_all_the_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, asked = asking.ask, []

    def counted(*arguments: Any) -> asking.Answer:
        asked.append(1)
        return ask(*arguments)

    monkeypatch.setattr(asking, "ask", counted)
    outcome = run(
        policy={"name": "grid", "points": 1}, task={"name": "quadratic", "step_s": 0.05}, budget={"trials": 9}
    )
    assert outcome.exit_code == 0, outcome.error
    assert len(asked) <= 6


def test_a_policy_that_breaks_its_word_stops_the_study_with_its_name() -> None:
    class Broken:
        def ask(self, view: StudyView, n: int) -> list[Any]:
            return [{"x": 1}]

        def tell(self, trial: Trial) -> None:
            raise KeyError("score")

    view = StudyView(Space({}), Objective("accuracy"), 1)
    with pytest.raises(StudyStopped, match="policy 'broken' answered with what is no Proposal"):
        asking.ask(Broken(), "broken", view, 1)
    with pytest.raises(StudyStopped, match="policy 'broken' failed when it was told of trial 3: KeyError"):
        asking.tell(Broken(), "broken", Trial(3, Proposal({})))


def test_what_was_never_submitted_has_no_open_bill() -> None:
    reserved, settled = ev.BudgetReserved("s/1", 1, 10.0, 7.2, 0.0), ev.BudgetSettled("s/1", 1, 0.0, 0.0, 0.0)
    assert bills.left_open(entries(reserved, settled), lambda handle: None) == []
    submitted = ev.JobSubmitted("s/1", 1, Handle("s/1", "m1"))
    (bill,) = bills.left_open(entries(reserved, submitted, settled), lambda handle: None)
    assert bill.usd == 7.2


def test_money_that_a_policy_kept_does_not_come_back() -> None:
    fold = folded(ev.BudgetReserved("policy/1", None, 0.0, 5.0, 0.0), ev.BudgetReserved("s/1", 1, 1.0, 2.0, 0.0))
    now = afford.ledger(fold, 0.0, Cost())
    assert (now.reserved.usd, now.at_rest().reserved.usd) == (7.0, 5.0)
    assert afford.ledger(fold, 0.0, Cost(), asking=True).at_rest().reserved == Cost()
    left = Ledger(Limits(usd=6.0), Cost(), now.reserved, 0, 0.0, now.stuck).at_rest()
    assert left.refusal(Cost(usd=2.0), 0.0) is not None


def test_a_certificate_without_a_test_is_made_up_for_after_a_resume() -> None:
    proposed = ev.TrialProposed(1, Proposal({}))
    untested = ev.TrialCertified(1, Certificate(1, False, "what was left of the budget did not pay for 2 runs"))
    resumed = ev.ControllerStarted(1, "here", True)
    assert folded(proposed, untested).certificate is not None
    assert folded(proposed, untested, resumed).certificate is None
    assert folded(proposed, untested, ev.TestOpened((0, 1)), resumed).certificate is not None, "too late"
    assert folded(proposed, untested, ev.TestOpened((0, 1)), ev.TestReopened((0, 1))).certificate is None
    tested = Certificate(1, False, "measured", 0.01, -0.01, 0.03, 3, 100, 0.02, 5.0)
    assert folded(proposed, ev.TrialCertified(1, tested), resumed).certificate == tested, "what was measured stays"


def test_one_trouble_in_a_long_stock_out_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(patience.Patience, "pause", lambda self, tries: clock.__setitem__(0, clock[0] + 15.0))
    answers: list[Exception] = [OutOfStock("no A100")] * 100 + [ConnectionError("502")] + [OutOfStock("no A100")] * 100

    def submit() -> str:
        if answers:
            raise answers.pop()
        return "a machine"

    assert patience.persist(submit, "could not submit x", patience.Patience(stock_out_s=3600.0)) == "a machine"
    alternating = [OutOfStock("no A100"), ConnectionError("502")] * 1000

    def never() -> None:
        raise alternating.pop()

    with pytest.raises(StudyStopped, match="could not submit x"):
        patience.persist(never, "could not submit x", patience.Patience(stock_out_s=3600.0))
    assert clock[0] < 15.0 * 202 + 2 * 3600


def test_a_machine_that_takes_minutes_to_go_does_not_stop_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(effects.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(effects.time, "sleep", lambda s: clock.__setitem__(0, clock[0] + s))

    class Slow:
        def __init__(self, gone_at: float) -> None:
            self.gone_at = gone_at

        def cancel(self, handle: Handle, grace_s: float) -> None:
            if clock[0] < self.gone_at:
                raise NotYet(handle.token)

    calm = patience.Patience()
    effects.cancel(Slow(300.0), Handle("s/1", "m1"), 10.0, calm)  # type: ignore[arg-type]
    assert 300.0 <= clock[0] < 310.0
    assert "s/1 is still being deleted" in calm.troubles.get_nowait()
    with pytest.raises(StudyStopped, match="still there"):
        effects.cancel(Slow(1e9), Handle("s/1", "m1"), 10.0, patience.Patience(short=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    [b'{"step": Infinity, "metrics": {}}', b'{"step": 1, "metrics": {"reward": 1' + b"0" * 400 + b"}}", b"[" * 100_000],
)
def test_no_line_of_metrics_breaks_the_controller(line: bytes) -> None:
    watch = JobWatch(JobRecord("s/1", 1, "train", 1, 60.0), LiveGuard(GuardSettings()))
    good = b'{"step": 1, "total": 2, "metrics": {"reward": 0.5}}'
    assert [step.step for step in take_steps(watch, line + b"\n" + good + b"\n", 0)] == [1]
    assert watch.unreadable == 1


def test_reaping_without_credentials_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = discover()

    def build(*arguments: Any, **more: Any) -> Any:
        raise SetupError("needs a key in the environment: SOME_API_TOKEN")

    monkeypatch.setattr(registry, "build", build)
    with pytest.raises(StudyStopped, match=r"executor 'cloud': needs a key in the environment: SOME_API_TOKEN"):
        reaping.reap_orphaned(KnownStudy("s-1", "/gone", {"name": "cloud"}), registry)
