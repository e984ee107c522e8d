"""Certification in a study: paid from the budget, on items nobody saw, resumable, and said where it is skipped."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.contracts import BASELINE
from core.decision.judge import decide
from core.decision.setaside import is_set_aside
from core.errors import UsageError
from core.journal import events as ev
from core.journal.facts import Limits
from core.journal.fold import Fold
from core.journal.store import Journal
from core.plugins import discover
from core.study.certifying import plan
from core.study.launch import Outcome, create, read_facts, resume
from core.study.settings import CertificationSettings
from support import study_config
from witness import events

Run = Callable[..., Outcome]
TASK = {"name": "quadratic", "items": 200, "step_s": 0.0, "steps": 1}
SETTINGS = {
    "task": TASK,
    "decision": {"name": "climb"},
    "budget": {"trials": 8},
    "certification": {},
    "executor": {"name": "local", "slots": 3},
}


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One study with certification that several tests look at."""
    directory = tmp_path_factory.mktemp("certified") / "study"
    directory.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERNIGHT_CACHE", str(directory.parent / "cache"))
        return create(study_config(directory, **SETTINGS), directory, discover())


def test_a_real_gain_is_confirmed_within_the_budget(certified: Outcome) -> None:
    facts = certified.facts
    assert facts.certificate is not None
    assert facts.certificate.confirmed
    assert facts.study.trial(facts.study.incumbent).confirmed
    assert len(facts.study.trials) - 1 == 8
    fresh = [facts.study.trial(number) for number in facts.fresh]
    assert len(fresh) == 3
    best = facts.study.trial(facts.study.incumbent).proposal
    assert all(t.proposal.retest and t.proposal.params == best.params and t.proposal.parent for t in fresh)
    assert len({t.training_seed(1) for t in (*fresh, facts.study.trial(facts.study.incumbent))}) == 4


def test_no_score_that_selection_sees_has_an_item_that_is_set_aside(certified: Outcome) -> None:
    directory = certified.facts.study.directory
    with Journal.open(directory / "journal.db", readonly=True) as journal:
        for trial in certified.facts.study.trials:
            items = journal.items(trial.number, "validation")
            seen = [item.score for item in items if not is_set_aside(item.id, 0.4)]
            assert trial.evaluation is not None
            assert trial.evaluation.n == len(seen) == 200 - certified.facts.set_aside
            assert trial.evaluation.value == pytest.approx(sum(seen) / len(seen))
    assert certified.facts.certificate is not None
    assert certified.facts.certificate.items == certified.facts.set_aside > 0


def test_fresh_seeds_are_no_candidates_and_the_test_split_comes_last(certified: Outcome) -> None:
    found = events(certified.facts.study.directory)
    kinds = [type(event).__name__ for event in found]
    assert kinds.index("CertificationStarted") < kinds.index("TrialCertified") < kinds.index("TestOpened")
    after = found[kinds.index("CertificationStarted") :]
    assert not [event for event in after if isinstance(event, ev.IncumbentChanged)]
    assert kinds.count("TestOpened") == 1


def test_the_same_journal_gives_the_same_decisions(certified: Outcome) -> None:
    directory = certified.facts.study.directory
    rule, fold, judged = discover().build("decision", {"name": "climb"}), Fold(directory), 0
    with Journal.open(directory / "journal.db", readonly=True) as journal:
        for entry in journal.entries():
            if isinstance(entry.event, ev.TrialDecided):
                trial = fold.records[entry.event.trial].trial
                assert entry.event in decide(rule, fold, journal, trial)
                judged += 1
            fold.apply(entry)
    assert judged == 8


def test_the_same_journal_gives_the_same_certificate_when_resumed_in_its_middle(
    certified: Outcome, tmp_path: Path
) -> None:
    """Cut the journal after the first fresh seed was proposed, and go on from there."""
    directory = tmp_path / "study"
    shutil.copytree(certified.facts.study.directory, directory, symlinks=True)
    recorded = events(directory)
    first = certified.facts.fresh[0]
    at = next(i for i, e in enumerate(recorded) if isinstance(e, ev.TrialProposed) and e.trial == first) + 1
    _cut(directory, at)
    again = resume(directory, discover())
    assert again.facts.certificate == certified.facts.certificate
    assert again.facts.fresh == certified.facts.fresh
    assert [type(e) for e in events(directory)].count(ev.CertificationStarted) == 1


def test_a_finished_study_goes_on_only_when_told_and_says_so_for_ever(certified: Outcome, tmp_path: Path) -> None:
    directory = tmp_path / "study"
    shutil.copytree(certified.facts.study.directory, directory, symlinks=True)
    with pytest.raises(UsageError, match="--open-test-again"):
        resume(directory, discover())
    again = resume(directory, discover(), again=True)
    assert again.facts.test_openings == 2
    assert sum(isinstance(event, ev.TestReopened) for event in events(directory)) == 1
    assert read_facts(directory).study.finished


def test_a_budget_that_is_too_small_leaves_the_leader_unconfirmed_with_the_reason(run: Run) -> None:
    facts = run(budget={"trials": 2}, decision={"name": "climb"}, task=TASK, certification={}).facts
    assert facts.set_aside == 0
    assert facts.study.incumbent != BASELINE
    assert facts.certificate is not None
    assert not facts.certificate.confirmed
    assert "too small" in facts.certificate.reason
    assert any("stays unconfirmed" in notice.text for notice in facts.notices)


def test_a_hope_that_the_study_cannot_fulfil_is_said_at_the_start(run: Run) -> None:
    facts = run(budget={"trials": 2}, certification={"hoped_gain": 0.01, "runs": 2}, task=TASK).facts
    (said,) = [notice for notice in facts.notices if "true gain of 0.01" in notice.text]
    assert "for 80% it takes" in said.text


def test_money_that_pays_for_few_trials_is_not_kept_from_the_search() -> None:
    assert plan(Limits(usd=18.0), CertificationSettings(), sure=1).runs == 0
    assert plan(Limits(usd=900.0), CertificationSettings(), sure=50).runs == 3


@pytest.mark.parametrize(("trials", "runs"), [(7, 0), (8, 3), (59, 3), (60, 5), (None, 3)])
def test_more_trials_pay_for_more_seeds(trials: int | None, runs: int) -> None:
    found = plan(Limits(trials=trials), CertificationSettings())
    assert found.runs == runs
    assert (found.items_share > 0) == (runs > 0)


def _cut(directory: Path, events_left: int) -> None:
    """What a controller that was killed then had written; the outputs it had not are gone."""
    import sqlite3

    with sqlite3.connect(directory / "journal.db") as db:
        db.execute("DELETE FROM events WHERE seq > ?", (events_left,))
        for table in ("snapshot", "snapshot_trials", "snapshot_notices"):
            db.execute(f"DELETE FROM {table}")
