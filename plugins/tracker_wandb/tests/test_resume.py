"""A study that another controller continues shows every trial once."""

import pytest
from wandb_files import sync, written_runs

from overnight_tracker_wandb.config import WandbConfig
from overnight_tracker_wandb.tracker import WandbTracker

STUDY = "arithmetic-20261123-ab12"


def first_controller(story):
    """Two trials told, one running; then the controller stops in good order."""
    story.start()
    story.propose(0)
    story.complete(0, 0.3)
    story.propose(1)
    story.report(1, 0, loss=1.0)
    story.complete(1, 0.5, keep=True)
    story.propose(2)
    for step in range(3):
        story.report(2, step, loss=1.0)
    story.finish(reason=None)
    assert story.problems == []


def second_controller(story):
    """Hears of a trial again, goes on with the running one (steps repeated), and finishes."""
    story.listen(WandbTracker(WandbConfig()))
    story.start(resumed=True)
    story.told_again(1)
    for step in range(5):
        story.report(2, step, loss=2.0)
    story.complete(2, 0.6, keep=True)
    story.propose(3)
    story.fail(3)
    story.finish()
    assert story.problems == []


def check(server):
    study, retried = server.runs[STUDY], server.runs[f"{STUDY}-0002"]
    assert [row["trial"] for row in study.history] == [0, 1, 2, 3]
    assert [row["incumbent/score"] for row in study.history] == [0.3, 0.5, 0.6, 0.6]
    assert study.summary["trials"]["nrows"] == 4
    assert study.summary["finished"] == "12 trials done"
    assert study.summary["resumed"] is True
    assert study.exit_code == 0
    assert [row["train/step"] for row in retried.history] == [0, 1, 2, 3, 4]
    assert retried.summary["score"] == 0.6
    assert retried.config["lr"] == 0.01
    assert {"kept", "incumbent"} <= set(retried.tags)
    assert server.runs[f"{STUDY}-0001"].summary["score"] == 0.5
    assert server.runs[f"{STUDY}-0003"].exit_code == 1
    best = [artifact for artifact in study.artifacts if "best" in artifact["aliases"]]
    assert [artifact["metadata"]["trial"] for artifact in best] == [2]
    assert server.unknown == []


def test_online_the_same_runs_go_on(tell, server):
    story = tell()
    first_controller(story)
    assert server.runs[STUDY].exit_code == 1
    second_controller(story)
    check(server)


@pytest.mark.parametrize("command", [("sync",), pytest.param(("beta", "sync"), marks=pytest.mark.slow)], ids=" ".join)
def test_offline_runs_of_both_controllers_become_one_when_uploaded(tell, server, directory, monkeypatch, command):
    monkeypatch.setenv("WANDB_MODE", "offline")
    story = tell()
    first_controller(story)
    second_controller(story)
    assert server.runs == {}
    monkeypatch.delenv("WANDB_MODE")
    sync(server, *sorted(str(path) for path in (directory / "wandb").glob("offline-run-*")), command=command)
    check(server)


def test_a_trial_whose_row_never_reached_the_disk_is_shown_after_the_resume(tell, directory):
    story = tell()
    first_controller(story)
    for path in (directory / "wandb").glob(f"offline-run-*-{STUDY}/run-{STUDY}.wandb"):
        data = path.read_bytes()
        path.write_bytes(data[: data.index(b'"incumbent/trial"') if b'"incumbent/trial"' in data else 1000])
    assert written_runs(directory / "wandb")[STUDY].history == []
    story.listen(WandbTracker(WandbConfig()))
    story.start(resumed=True)
    story.finish()
    assert [row["trial"] for row in written_runs(directory / "wandb")[STUDY].history] == [0, 1]


def test_a_study_killed_before_its_first_flush_resumes(tell, directory):
    folder = directory / "wandb" / f"offline-run-20261123_000000-{STUDY}"
    folder.mkdir(parents=True)
    (folder / f"run-{STUDY}.wandb").write_bytes(b":W&B\xe0\xbe\x00")
    story = tell()
    story.start(resumed=True)
    story.propose(0)
    story.complete(0, 0.3)
    story.finish()
    assert story.problems == []
    assert [row["trial"] for row in written_runs(directory / "wandb")[STUDY].history] == [0]
