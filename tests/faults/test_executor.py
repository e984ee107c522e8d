"""Executor and cloud faults: the study goes on or stops resumably; no machine and no dollar is forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.study import patience, watch
from faults.cloud_studies import CloudStudy
from faults.conftest import Tally
from faults.faulty_cloud import FaultyCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[FaultyCloud]:
    with FaultyCloud(tmp_path / "cloud") as found:
        yield found


@pytest.fixture
def study(tmp_path: Path, cloud: FaultyCloud) -> CloudStudy:
    return CloudStudy(tmp_path / "study", cloud)


@pytest.mark.fault(33, "the host vanishes, before or after its job ends", "a new attempt; its time is paid")
def test_a_vanished_host_is_replaced_and_what_it_cost_is_in_the_ledger(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally
) -> None:
    cloud.doom("0001/train", vanish_s=1.0)
    assert study.run().exit_code == 0
    assert study.attempts() == [(1, "lost"), (2, "succeeded")]
    assert study.ledger("0001/train/a1") >= cloud.machines("0001/train/a1")[0]["usd"] * 0.9
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(33, "the host vanishes, before or after its job ends", "a new attempt; its time is paid")
def test_a_result_that_vanished_with_its_machine_is_made_again(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally
) -> None:
    cloud.misbehave("GET /machines/.*/artefacts", "answer", about="0001/train", status=404)
    assert study.run().exit_code == 0
    assert study.attempts() == [(1, "lost"), (2, "succeeded")]
    study.count(tally)


@pytest.mark.slow
@pytest.mark.parametrize(
    "warning_s",
    [
        pytest.param(1.0, marks=pytest.mark.fault(34, "preemption with a warning", "a new attempt")),
        pytest.param(0.0, marks=pytest.mark.fault(35, "preemption without a warning", "a new attempt")),
    ],
)
def test_a_preempted_job_is_run_again_under_a_new_attempt(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally, warning_s: float
) -> None:
    cloud.doom("0001/train", preempt_s=0.5, warning_s=warning_s)
    assert study.run().exit_code == 0
    attempts = study.attempts()
    assert [number for number, _ in attempts] == [1, 2]
    assert attempts[1][1] == "succeeded"
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(36, "the API says 429, with and without Retry-After", "survived")
@pytest.mark.fault(37, "the API says 500, to a create too, or for ever", "survived, created once; or a resumable stop")
@pytest.mark.fault(39, "the API answers garbage, to a create too", "survived; created once")
def test_errors_of_the_api_that_pass_are_survived(cloud: FaultyCloud, study: CloudStudy, tally: Tally) -> None:
    cloud.misbehave("GET /machines/m-[0-9]*", "answer", status=429, headers={"Retry-After": "0.2"}, times=2)
    cloud.misbehave("POST /machines", "answer", status=429, times=2, about="0000/prepare")
    cloud.misbehave("GET /machines/m-[0-9]*", "answer", status=500, times=2, skip=3)
    cloud.misbehave("POST /machines", "lose_500", about="0000/validation")
    cloud.misbehave("DELETE /machines/.*", "answer", status=500, times=1)
    cloud.misbehave("GET /machines/m-[0-9]*", "garbage", times=2, skip=6)
    cloud.misbehave("POST /machines", "garbage", about="0001/train")
    assert study.run().exit_code == 0
    tokens = [machine["token"] for machine in cloud.machines()]
    assert len(tokens) == len(set(tokens)), "a job was created twice"
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(38, "requests time out; create answers are lost", "survived; created once")
def test_timeouts_and_lost_creates_are_survived_and_nothing_is_created_twice(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally
) -> None:
    cloud.misbehave("POST /machines", "lose", about="0000/")
    cloud.misbehave("POST /machines", "late", s=1.5, about="0001/train")
    cloud.misbehave("GET /machines/m-[0-9]*", "hang", s=1.5, skip=2)
    assert study.run().exit_code == 0
    tokens = [machine["token"] for machine in cloud.machines()]
    assert len(tokens) == len(set(tokens)), "a job was created twice"
    study.count(tally)


@pytest.mark.fault(37, "the API says 500, to a create too, or for ever", "survived, created once; or a resumable stop")
def test_an_api_that_stays_broken_stops_the_study_with_the_machines_named(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 2.0)
    cloud.when("0001/train", lambda: cloud.misbehave(".*", "answer", status=500, times=10**6))
    stopped = study.run()
    assert stopped.exit_code == 3
    assert "500" in stopped.error
    assert any("could not stop" in n.text and "0001/train/a1" in n.text for n in stopped.facts.notices)
    cloud.behave()
    assert study.resume().exit_code == 0
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(40, "an unknown status, for a while or for ever", "never terminal; given up at last, deleted")
def test_an_unknown_status_is_waited_out(cloud: FaultyCloud, study: CloudStudy, tally: Tally) -> None:
    cloud.doom("0001/train", word="hibernating", word_s=3.0)
    assert study.run().exit_code == 0
    assert study.attempts() == [(1, "succeeded")]
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(40, "an unknown status, for a while or for ever", "never terminal; given up at last, deleted")
def test_a_job_that_stays_unknown_is_given_up_and_deleted(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SLACK_S", 0.5)
    cloud.doom("0001/train", word="hibernating")
    deadline = {"prepare_s": 30.0, "train_s": 5.0, "evaluate_s": 20.0}
    outcome = study.run(deadline=deadline, task={"name": "quadratic", "step_s": 0.05})
    assert outcome.exit_code == 0
    assert study.attempts() == [(1, "lost"), (2, "succeeded")]
    assert any("unknown for" in notice.text and "hibernating" in notice.text for notice in outcome.facts.notices)
    study.count(tally)


@pytest.mark.fault(41, "a stock-out, of the cheapest machine or of all", "the next at its price; or a clear stop")
def test_a_stock_out_that_stays_stops_the_study_and_says_so(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 1.0)
    cloud.admin(stock={"cpu": 0})
    stopped = study.run()
    assert stopped.exit_code == 3
    assert "stock-out no cpu machine is left" in stopped.error
    cloud.admin(stock={"cpu": None})
    assert study.resume().exit_code == 0
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(41, "a stock-out, of the cheapest machine or of all", "the next at its price; or a clear stop")
def test_a_stock_out_falls_back_on_the_dearer_machine_and_reserves_its_price(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally
) -> None:
    cloud.admin(prices={"large": 7200.0}, stock={"large": None})
    cloud.when("0001/train", lambda: cloud.admin(stock={"cpu": 0}, injected=1))
    outcome = study.run()
    assert outcome.exit_code == 0
    assert cloud.machines("0001/validation")[0]["price"] == 7200.0
    assert any("costs $7200 an hour now" in notice.text for notice in outcome.facts.notices)
    study.count(tally)


@pytest.mark.fault(42, "a machine that never boots", "deleted, not paid further, tried again")
def test_a_machine_that_never_boots_is_deleted_and_another_is_made(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally
) -> None:
    cloud.doom("0001/train", provision_s=10**6)
    assert study.run(executor={"provision_s": 1.0}).exit_code == 0
    assert study.attempts() == [(1, "lost"), (2, "succeeded")]
    (stuck,) = cloud.machines("0001/train/a1")
    assert stuck["seconds"] < 6
    assert study.ledger("0001/train/a1") >= stuck["usd"] * 0.9
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(43, "a delete that fails twice", "repeated until gone; paid until then")
def test_a_delete_that_fails_is_repeated_until_the_machine_is_gone(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally
) -> None:
    cloud.doom("", delete_fails=2, times=3)
    outcome = study.run()
    assert outcome.exit_code == 0
    assert outcome.facts.study.usd >= cloud.usd * 0.95, "the ledger forgot what machines cost until they were gone"
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(44, "a result that comes twice (the first one torn)", "counts once, whole")
@pytest.mark.fault(46, "log and metrics streams cut in mid-body", "read on from the same offset")
def test_torn_answers_are_read_again_and_count_once(cloud: FaultyCloud, study: CloudStudy, tally: Tally) -> None:
    cloud.misbehave("GET /machines/.*/artefacts", "cut", times=2, about="0001/train")
    cloud.misbehave("GET /machines/.*/logs", "cut", times=8, about="0001/train")
    outcome = study.run(trackers={"jsonlines": {"file": "events.jsonl"}})
    assert outcome.exit_code == 0
    assert study.attempts() == [(1, "succeeded")]
    lines = (study.directory / "events.jsonl").read_text().splitlines()
    reported = [line for line in lines if '"trial_reported"' in line and '"trial": 1' in line]
    steps = [line.partition('"step": ')[2].rstrip("}") for line in reported]
    assert [step for step in steps if step != "60"] == ["1", "2", "3", "4", "5"]
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(45, "the late result of an attempt that was given up", "fenced: the new attempt counts")
def test_the_late_result_of_a_given_up_attempt_counts_for_nothing(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally
) -> None:
    # The first machine boots when it was given up already, and its delete fails long enough for it to finish.
    cloud.doom("0001/train", provision_s=1.6, delete_fails=7)
    assert study.run(executor={"provision_s": 1.0}, task={"name": "quadratic", "step_s": 0.02}).exit_code == 0
    assert study.attempts() == [(1, "lost"), (2, "succeeded")]
    study.count(tally)


@pytest.mark.slow
@pytest.mark.fault(47, "the price doubles in mid-study", "the ledger follows, the cap holds")
def test_a_price_that_doubles_is_reserved_and_the_cap_holds(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally
) -> None:
    cloud.when("0001/train", lambda: cloud.admin(prices={"cpu": 7200.0}, injected=1))
    outcome = study.run(
        usd=70.0,
        budget={"trials": None, "usd": 70.0},
        deadline={"prepare_s": 10.0, "train_s": 8.0, "evaluate_s": 4.0},
        task={"name": "quadratic", "step_s": 0.2},
        executor={"slots": 1},
    )
    assert outcome.exit_code == 0
    assert any("costs $7200 an hour now, it was $3600" in notice.text for notice in outcome.facts.notices)
    assert "could cost $48.00" in (outcome.facts.study.finished or "")
    assert cloud.usd * 0.95 <= outcome.facts.study.usd <= 70.0
    study.count(tally, trials=len(outcome.facts.study.trials) - 1)


@pytest.mark.fault(48, "the credentials expire", "stops resumably and says which; resume goes on")
def test_expired_credentials_stop_the_study_at_once_and_a_new_key_continues_it(
    cloud: FaultyCloud, study: CloudStudy, tally: Tally
) -> None:
    cloud.when("0001/train", lambda: cloud.admin(key="key-2"))
    stopped = study.run()
    assert stopped.exit_code == 3
    assert "executor.key_file: the cloud refuses the key" in stopped.error
    cloud.key_file.write_text("key-2")
    assert study.resume().exit_code == 0
    study.count(tally)
