"""Without credentials a study is written to offline runs that say everything."""

import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from story import Story, whole_story
from wandb_files import written_runs, written_table

from overnight_tracker_wandb.config import WandbConfig
from overnight_tracker_wandb.tracker import WandbTracker

STUDY = "arithmetic-20261123-ab12"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A whole story, the folder that holds its runs, and what was read back from there."""
    directory = tmp_path_factory.mktemp("told")
    story = Story(WandbTracker(WandbConfig(tags=("nightly",))), directory)
    whole_story(story)
    assert story.problems == []
    return story, directory / "wandb", written_runs(directory / "wandb")


def test_there_is_one_run_for_the_study_and_one_per_trial_in_its_group(told):
    _, _, runs = told
    assert sorted(runs) == [STUDY, *(f"{STUDY}-000{number}" for number in range(4))]
    assert {run.group for run in runs.values()} == {STUDY}
    assert {run.project for run in runs.values()} == {"overnight"}
    assert [runs[key].job_type for key in sorted(runs)] == ["study"] + ["trial"] * 4
    assert runs[STUDY].name == "arithmetic"


def test_the_study_run_holds_the_config_without_secrets(told):
    _, folder, runs = told
    assert runs[STUDY].config["policy"] == {"name": "tpe", "api_key": "***"}
    assert runs[STUDY].config["limit"] == "inf"
    assert not any(b"sk-very-secret" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_study_history_has_one_row_per_trial_with_the_running_best(told):
    _, _, runs = told
    rows = runs[STUDY].history
    assert [row["trial"] for row in rows] == [0, 2, 1, 3]
    assert [row.get("score") for row in rows] == [0.30, None, 0.55, 0.50]
    assert [row["best/score"] for row in rows] == [0.30, 0.30, 0.55, 0.55]
    assert [row["incumbent/score"] for row in rows] == [0.30, 0.30, 0.55, 0.55]
    assert {row["baseline/score"] for row in rows} == {0.30}
    assert [row["spent/trials"] for row in rows] == [0, 1, 2, 3]
    assert rows[-1]["spent/usd"] == pytest.approx(1.0)


def test_the_study_summary_compares_incumbent_and_baseline_on_both_splits(told):
    _, _, runs = told
    summary = runs[STUDY].summary
    for who, split, value in (
        ("baseline", "validation", 0.30),
        ("baseline", "test", 0.40),
        ("incumbent", "validation", 0.55),
        ("incumbent", "test", 0.50),
    ):
        assert summary[f"{who}/{split}/value"] == pytest.approx(value)
        assert summary[f"{who}/{split}/low"] == pytest.approx(value - 0.05)
        assert summary[f"{who}/{split}/high"] == pytest.approx(value + 0.05)
        assert summary[f"{who}/{split}/n"] == 200
    assert summary["gain/validation"] == pytest.approx(0.25)
    assert summary["incumbent/trial"] == 1
    assert summary["finished"] == "12 trials done"
    assert (summary["trials/completed"], summary["trials/failed"], summary["trials/total"]) == (3, 1, 4)
    assert runs[STUDY].exit_code == 0


def test_the_table_lists_every_trial_with_its_params(told):
    _, folder, runs = told
    table = written_table(folder, runs[STUDY], "trials")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["trial"] for row in rows] == [0, 1, 2, 3]
    assert [row["status"] for row in rows] == ["completed", "completed", "failed", "completed"]
    assert rows[1]["params/lr"] == 0.1
    assert (rows[1]["decision"], rows[1]["reason"], rows[1]["test"]) == ("keep", "better", 0.5)
    assert rows[2]["error"] == "ValueError: loss is NaN"
    assert rows[2]["score"] is None


def test_a_trial_run_has_its_params_live_metrics_and_outcome(told):
    _, _, runs = told
    run = runs[f"{STUDY}-0001"]
    assert (run.config["lr"], run.config["batch"]) == (0.1, 2)
    assert run.config["overnight"]["seed"] == 1
    assert [row["train/step"] for row in run.history] == [0, 1, 2, 3, 4]
    assert [row["train/loss"] for row in run.history] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    summary = run.summary
    assert (summary["status"], summary["decision"], summary["reason"]) == ("completed", "keep", "better")
    assert (summary["score"], summary["n"], summary["seconds"], summary["usd"]) == (0.55, 200, 1.5, 0.25)
    assert (summary["low"], summary["high"]) == (pytest.approx(0.5), pytest.approx(0.6))
    assert summary["evaluation/format"] == 0.9
    assert summary["test/value"] == pytest.approx(0.5)
    assert run.exit_code == 0


def test_a_failed_trial_ends_as_a_failed_run_with_its_error(told):
    _, _, runs = told
    run = runs[f"{STUDY}-0002"]
    assert run.exit_code == 1
    assert (run.summary["status"], run.summary["error"]) == ("failed", "ValueError: loss is NaN")
    assert "score" not in run.summary


def test_metrics_that_are_not_finite_are_kept_as_such(told):
    _, _, runs = told
    rows = runs[f"{STUDY}-0002"].history
    assert math.isnan(rows[3]["train/loss"])
    assert rows[3]["train/kl"] == math.inf


def test_tags_say_what_became_of_a_trial(told):
    _, _, runs = told
    tags = {number: set(runs[f"{STUDY}-000{number}"].tags) for number in range(4)}
    assert {"baseline", "completed", "nightly", "grpo_arithmetic", "tpe", "local"} <= tags[0]
    assert {"candidate", "completed", "kept", "incumbent"} <= tags[1]
    assert "failed" in tags[2]
    assert [number for number in tags if "incumbent" in tags[number]] == [1]
    assert {"study", "nightly", "grpo_arithmetic"} <= set(runs[STUDY].tags)


def test_the_incumbents_checkpoint_is_an_artifact_with_alias_best(told):
    _, _, runs = told
    (model,) = [artifact for artifact in runs[STUDY].artifacts if artifact["type"] == "model"]
    assert model["name"] == f"{STUDY}-model"
    assert {"best", "trial-1"} <= set(model["aliases"])
    assert model["metadata"]["score"] == 0.55
    assert model["metadata"]["params"] == {"lr": 0.1, "batch": 2}
    assert Path(model["files"]["model.safetensors"]).read_bytes() == b"weights of 1"


def test_one_line_says_how_to_upload(told):
    story, folder, _ = told
    assert story.tracker.notes() == [
        f"W&B: offline run in {folder}; upload with: wandb sync {folder}/offline-run-*",
    ]


def test_nothing_is_left_running_and_nothing_outside_the_study_changed(told, clean_environment):
    assert [child.name() for child in psutil.Process().children(recursive=True)] == []
    assert list(clean_environment.iterdir()) == []
    assert [name for name in os.environ if name.startswith("WANDB")] == []


def test_nothing_is_printed(tell, capfd):
    whole_story(tell())
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_it_works_from_a_thread_and_twice_in_one_process(tmp_path, tell):
    for name in ("first", "second"):
        story = Story(tell().tracker, tmp_path / name, id=name)
        thread = threading.Thread(target=whole_story, args=(story,))
        thread.start()
        thread.join()
        assert story.problems == []
        assert len(written_runs(tmp_path / name / "wandb")) == 5


def test_wandb_mode_disabled_writes_nothing(tell, directory, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    story = tell()
    whole_story(story)
    assert story.problems == []
    assert written_runs(directory / "wandb") == {}
    assert story.tracker.notes() == ["W&B: disabled by WANDB_MODE=disabled"]


def test_a_key_in_the_environment_does_not_override_wandb_mode_offline(tell, directory, server, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    whole_story(tell())
    assert len(written_runs(directory / "wandb")) == 5
    assert server.runs == {}


def test_dir_moves_the_runs_elsewhere(tell, tmp_path, directory):
    story = tell(dir=str(tmp_path / "else where"))
    whole_story(story)
    assert len(written_runs(tmp_path / "else where" / "wandb")) == 5
    assert not (directory / "wandb").exists()
    assert f"wandb sync '{tmp_path}/else where/wandb'/offline-run-*" in story.tracker.notes()[0]


def test_no_checkpoint_is_logged_when_that_is_not_wanted(tell, directory):
    whole_story(tell(log_checkpoint=False))
    artifacts = written_runs(directory / "wandb")[STUDY].artifacts
    assert [artifact for artifact in artifacts if artifact["type"] == "model"] == []


def test_a_checkpoint_above_the_limit_is_left_out_and_that_is_said(tell, directory):
    story = tell(max_artifact_mb=1e-6)
    whole_story(story)
    artifacts = written_runs(directory / "wandb")[STUDY].artifacts
    assert [artifact for artifact in artifacts if artifact["type"] == "model"] == []
    assert "above trackers.wandb.max_artifact_mb" in story.tracker.notes()[0]


def test_a_missing_checkpoint_is_said(tell, directory):
    story = tell()
    story.start()
    story.propose(0)
    story.complete(0, 0.3)
    story.propose(1)
    story.point_best_at = lambda number: None
    story.complete(1, 0.5, keep=True)
    story.finish()
    assert story.problems == []
    assert story.tracker.notes()[0].startswith("W&B: trial 1 has no checkpoint at ")


def test_weird_values_arrive_as_text_or_numbers(tell, directory):
    story = tell()
    story.start()
    story.propose(0)
    story.complete(0, 0.3)
    story.propose(1, lr=math.nan, huge=10**30, flag=True, text="ä" * 50_000, mixed="a", seed=3, trial=9)
    story.propose(2, lr=1.0, huge=1, flag=False, text="", mixed=2, seed=4, trial=9)
    story.report(1, 0, loss=-math.inf, count=10**20)
    story.complete(1, 0.4)
    story.fail(2, error="x" * 100_000)
    story.finish()
    assert story.problems == []
    runs = written_runs(directory / "wandb")
    assert runs[f"{STUDY}-0001"].config["lr"] == "nan"
    assert runs[f"{STUDY}-0001"].config["trial"] == 9
    table = written_table(directory / "wandb", runs[STUDY], "trials")
    row = dict(zip(table["columns"], table["data"][1], strict=True))
    assert (row["params/huge"], row["params/flag"], row["params/lr"]) == (str(10**30), True, "nan")
    assert row["params/text"].endswith("(50000 characters)")


def test_a_retried_attempt_and_repeated_steps_keep_their_own_axis(tell, directory):
    story = tell()
    story.start()
    story.propose(0)
    for step in (0, 1, 1, 0, 2):
        story.report(0, step, loss=1.0)
    story.retry(0)
    for step in (0, 1):
        story.report(0, step, loss=2.0)
    story.complete(0, 0.3)
    story.report(0, 3, loss=3.0)
    story.finish()
    assert story.problems == []
    rows = written_runs(directory / "wandb")[f"{STUDY}-0000"].history
    assert [(row["train/attempt"], row["train/step"]) for row in rows] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]


def test_an_interrupted_study_says_so(tell, directory):
    story = tell()
    story.start()
    story.propose(0)
    story.report(0, 0, loss=1.0)
    story.finish(reason=None)
    runs = written_runs(directory / "wandb")
    for run in runs.values():
        assert run.preempting
        assert run.exit_code == 1
    assert runs[f"{STUDY}-0000"].summary["status"] == "running"


def test_constructing_imports_no_wandb():
    code = "import sys; from overnight_tracker_wandb.tracker import *; WandbTracker(WandbConfig()); " + (
        "import json; print(json.dumps([m for m in ('wandb', 'torch', 'google.protobuf') if m in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
