"""With credentials a study is shown live; a W&B that is down, slow or refuses never delays it."""

import socket
import time
from pathlib import Path

import psutil
import pytest
from story import Story, whole_story
from wandb_files import sync, written_runs

STUDY = "arithmetic-20261123-ab12"
QUICK = {"init_timeout_s": 1.0, "finish_timeout_s": 1.0}


def timed(story: Story) -> float:
    """Seconds that the whole story took."""
    began = time.monotonic()
    whole_story(story)
    return time.monotonic() - began


def test_everything_arrives_at_the_server(tell, server, directory):
    story = tell()
    whole_story(story)
    assert story.problems == []
    assert server.unknown == []
    assert sorted(server.runs) == [STUDY, *(f"{STUDY}-000{number}" for number in range(4))]
    assert {run.group for run in server.runs.values()} == {STUDY}
    study, kept, failed = server.runs[STUDY], server.runs[f"{STUDY}-0001"], server.runs[f"{STUDY}-0002"]
    assert [row["trial"] for row in study.history] == [0, 2, 1, 3]
    assert [row["incumbent/score"] for row in study.history] == [0.30, 0.30, 0.55, 0.55]
    assert study.summary["incumbent/test/value"] == pytest.approx(0.5)
    assert study.summary["trials"]["nrows"] == 4
    assert study.config["policy"] == {"name": "tpe", "api_key": "***"}
    assert study.exit_code == 0
    assert [row["train/step"] for row in kept.history] == [0, 1, 2, 3, 4]
    assert kept.summary["score"] == 0.55
    assert kept.summary["test/value"] == pytest.approx(0.5)
    assert kept.config["lr"] == 0.1
    assert {"kept", "incumbent", "completed"} <= set(kept.tags)
    assert (failed.exit_code, failed.summary["status"]) == (1, "failed")
    (model,) = [artifact for artifact in study.artifacts if artifact["type"] == "model"]
    assert model["state"] == "COMMITTED"
    assert {"best", "trial-1"} <= set(model["aliases"])
    assert model["files"]["model.safetensors"] == b"weights of 1"
    assert story.tracker.notes() == [f"W&B: {server.url}/me/overnight/runs/{STUDY}"]
    assert written_runs(directory / "wandb") == {}


def test_nothing_is_printed_and_nothing_is_left_running(tell, server, capfd, clean_environment):
    whole_story(tell())
    assert capfd.readouterr() == ("", "")
    assert psutil.Process().children(recursive=True) == []
    assert list(clean_environment.iterdir()) == []


@pytest.mark.parametrize("where", ["netrc", "settings"])
def test_credentials_are_found_where_wandb_login_puts_them(tell, server, monkeypatch, clean_environment, where):
    key = server.environment["WANDB_API_KEY"]
    monkeypatch.delenv("WANDB_API_KEY")
    if where == "netrc":
        place = clean_environment / ".netrc"
        place.write_text(f"machine {server.url.removeprefix('http://')}\n  login user\n  password {key}\n")
        place.chmod(0o600)
    else:
        place = clean_environment / ".config" / "wandb" / "settings"
        place.parent.mkdir(parents=True)
        place.write_text(f"[default]\napi_key = {key}\n")
    whole_story(tell())
    place.unlink()
    assert len(server.runs) == 5


def test_online_without_credentials_says_how_to_get_them_and_goes_offline(tell, directory):
    story = tell(mode="online")
    whole_story(story)
    (problem,) = story.problems
    assert "set WANDB_API_KEY or run `wandb login`" in str(problem)
    assert len(written_runs(directory / "wandb")) == 5


def test_a_storm_of_503_and_429_loses_nothing(tell, server):
    story = tell()
    story.start()
    story.propose(0)
    server.fail = [503, 429]
    story.complete(0, 0.3)
    story.propose(1)
    for step in range(5):
        story.report(1, step, loss=1.0)
    story.complete(1, 0.5, keep=True)
    story.finish()
    assert story.problems == []
    assert server.failed == 2
    assert [row["trial"] for row in server.runs[STUDY].history] == [0, 1]
    assert len(server.runs[f"{STUDY}-0001"].history) == 5


def dead_server() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_dead_server_means_offline_runs_and_one_report(tell, server, directory, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", dead_server())
    story = tell(**QUICK)
    assert timed(story) < 8
    (problem,) = story.problems
    assert "did not take run" in str(problem)
    assert "connection refused" in str(problem)
    assert "offline" in str(problem)
    assert len(written_runs(directory / "wandb")) == 5
    (note,) = story.tracker.notes()
    assert note.startswith(f"W&B: offline run in {directory}/wandb; upload with: wandb sync ")


def test_a_server_that_never_answers_means_offline_runs(tell, server, directory, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        story = tell(**QUICK)
        assert timed(story) < 8
    assert len(story.problems) == 1
    assert len(written_runs(directory / "wandb")) == 5


@pytest.mark.parametrize("code", [401, 403, 429])
def test_a_server_that_refuses_means_offline_runs(tell, server, directory, code):
    server.fail_always = code
    story = tell(**QUICK)
    assert timed(story) < 8
    (problem,) = story.problems
    assert str(code) in str(problem)
    assert len(written_runs(directory / "wandb")) == 5


def test_a_malformed_key_means_offline_runs(tell, server, directory, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    story = tell(**QUICK)
    assert timed(story) < 8
    assert len(story.problems) == 1
    assert len(written_runs(directory / "wandb")) == 5


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_costs_a_bounded_time_and_no_data(tell, server, directory):
    story = tell(**QUICK)
    story.start()
    story.propose(0)
    story.complete(0, 0.3)
    story.propose(1)
    server.fail_always = 503
    began = time.monotonic()
    for step in range(5):
        story.report(1, step, loss=1.0)
    story.complete(1, 0.5, keep=True)
    story.propose(2)
    story.complete(2, 0.4)
    story.finish()
    assert time.monotonic() - began < 20
    assert len(story.problems) == 1
    notes = story.tracker.notes()
    assert notes[0] == f"W&B: {server.url}/me/overnight/runs/{STUDY}"
    assert notes[2].startswith("W&B: offline run in ")
    unsent = notes[1].removeprefix("W&B: not wholly uploaded; first finish with: wandb sync ").split()[1:]
    assert any(place.endswith(STUDY) for place in unsent)
    assert all(list(Path(place).glob("run-*.wandb")) for place in unsent)
    assert f"{STUDY}-0002" in written_runs(directory / "wandb")
    server.fail_always = None
    sync(server, "--no-skip-online", *unsent)
    sync(server, *sorted(str(path) for path in (directory / "wandb").glob("offline-run-*")))
    study = server.runs[STUDY]
    assert [row["trial"] for row in study.history] == [0, 1, 2]
    assert study.summary["trials"]["nrows"] == 3
    assert [item["metadata"]["trial"] for item in study.artifacts if "best" in item["aliases"]] == [1]
    assert [row["train/step"] for row in server.runs[f"{STUDY}-0001"].history] == [0, 1, 2, 3, 4]
    assert server.runs[f"{STUDY}-0001"].summary["test/value"] == pytest.approx(0.5)
    assert psutil.Process().children(recursive=True) == []


@pytest.mark.slow
def test_a_slow_server_still_gets_everything(tell, server):
    server.delay_s = 0.5
    story = tell()
    assert timed(story) < 40
    assert story.problems == []
    assert len(server.runs) == 5
