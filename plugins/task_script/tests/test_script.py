"""What task `script` promises beyond the contract."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import Evaluation, SetupError
from core.contracts.codec import from_plain, to_plain
from core.plugins import discover
from core.testing.contexts import Context

sys.path.insert(0, str(Path(__file__).parent))
import script_folders

from overnight_task_script import constants
from overnight_task_script.metrics import metrics_of

_SPACE = {"x": {"type": "float", "low": 0.0, "high": 4.0, "default": 1.0}}


def make(folder, **options):
    return discover().build("task", {"name": "script", "folder": str(folder), "space": _SPACE, **options})


def trained(tmp_path, task, x=1.0):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir(exist_ok=True)
    (tmp_path / "cache").mkdir(exist_ok=True)
    context = Context(tmp_path / "cache", tmp_path / "sealed", checkpoint, params={"x": x})
    task.prepare(context.cache)
    task.train(context)
    return context


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("val_bpb:          0.997900", {"val_bpb": 0.9979}),
        ("loss=1e-3 eval/score=0.5, n=1,000", {"loss": 0.001, "eval/score": 0.5, "n": 1000}),
        ("a=1,b=2", {"a": 1, "b": 2}),
        ("peak_vram_mb: 45060.2 MB", {"peak_vram_mb": 45060.2}),
        ("acc: 40% in=3.5s", {"acc": 40, "in": 3.5}),
        ("on 2024-01-01 date: 2024-01-01 time: 12:30:01 version=1.2.3", {}),
        ("model=information note: infinite", {}),
        ("score=-inf", {"score": -math.inf}),
    ],
)
def test_metrics_are_read_from_lines(line, found):
    assert metrics_of(line) == found


def test_nan_is_kept():
    assert math.isnan(metrics_of("loss: nan")["loss"])


def test_an_autoresearch_folder_runs_as_it_is(tmp_path):
    folder = script_folders.write(tmp_path / "folder", script_folders.KARPATHY_TRAIN)
    before = sorted(path.name for path in folder.iterdir())
    task = make(folder, metric="val_bpb", direction="minimize")
    context = trained(tmp_path, task)
    found = task.evaluate(context.checkpoint_dir, "validation", context)
    assert (found.value, found.self_reported, found.interval) == (pytest.approx(1.7979), True, "none")
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_metric_that_was_not_printed_is_an_error_with_a_suggestion(tmp_path):
    task = make(script_folders.write(tmp_path / "folder", script_folders.KARPATHY_TRAIN), metric="val_bbp")
    with pytest.raises(RuntimeError, match=r"task\.metric.*Did you mean val_bpb"):
        trained(tmp_path, task)


def test_a_script_that_fails_says_why(tmp_path):
    task = make(script_folders.write(tmp_path / "folder", "raise ValueError('no luck')"))
    with pytest.raises(RuntimeError, match=r"exited with code 1:(.|\n)*no luck"):
        trained(tmp_path, task)


def test_a_train_script_that_changes_prepare_py_has_no_score(tmp_path):
    task = make(script_folders.write(tmp_path / "folder", "open('prepare.py', 'w')\nprint('score=1')"))
    with pytest.raises(RuntimeError, match="frozen"):
        trained(tmp_path, task)


def test_training_is_not_given_the_evaluator_or_the_answers(tmp_path):
    text = "import os\nprint('score=1')\nopen(os.environ['AR_MODEL_DIR'] + '/seen', 'w').write(str(os.listdir()))"
    folder = script_folders.write(tmp_path / "folder", text, script_folders.EVALUATE)
    context = trained(tmp_path, make(folder, sealed=["answers.json"]))
    seen = (context.checkpoint_dir / "seen").read_text()
    assert "train.py" in seen
    assert "evaluate.py" not in seen
    assert "answers.json" not in seen


def test_an_edit_does_not_reach_a_running_study(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_OWNER", "study-1")
    folder = script_folders.write(tmp_path / "folder", "print('score=1')")
    (tmp_path / "folder" / "note").write_text("before")
    trained(tmp_path, make(folder))
    (folder / "train.py").write_text("print('score=2')")
    context = trained(tmp_path, make(folder))
    assert make(folder).evaluate(context.checkpoint_dir, "validation", context).value == 1
    monkeypatch.setenv("OVERNIGHT_OWNER", "study-2")
    context = trained(tmp_path, make(folder))
    assert make(folder).evaluate(context.checkpoint_dir, "validation", context).value == 2


def test_overrides_reach_the_command_line(tmp_path):
    text = "import sys\nprint(' '.join(sys.argv[1:]))\nprint('score=1')"
    folder = script_folders.write(tmp_path / "folder", text)
    context = trained(tmp_path, make(folder, cli_overrides="hydra", metric="x"), x=2.5)
    assert make(folder, cli_overrides="hydra", metric="x").evaluate(
        context.checkpoint_dir, "validation", context
    ).value == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"folder": None}, r"task\.folder"),
        ({"folder": "/nowhere/at/all"}, r"task\.folder"),
        ({"folder": "here"}, r"task\.folder: give the whole path"),
        ({"train": "other.py"}, r"task\.train"),
        ({"python": "no-such-python"}, r"task\.python"),
        ({"sealed": ["none.json"]}, r"task\.sealed"),
        ({"program": "goal.md"}, r"task\.program: .* has no file goal\.md; set task\.program=null"),
        ({"constants": True, "space": {"x": _SPACE["x"]}}, r"task\.space\.x: train\.py has no top-level constant X"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, options, setting):
    folder = script_folders.write(tmp_path / "folder", script_folders.KARPATHY_TRAIN)
    node = {"name": "script", "folder": str(folder), "space": _SPACE, **options}
    with pytest.raises(SetupError, match=setting):
        discover().build("task", node).check()


def test_a_study_of_self_reported_scores_claims_nothing_and_opens_no_test(tmp_path):
    folder = script_folders.write(tmp_path / "folder", script_folders.RL_TRAIN)
    out = tmp_path / "study"
    done = subprocess.run(
        [
            sys.executable, "-m", "core", "task=script", f"task.folder={folder}", "task.metric=eval_score",
            "+task.space.x={type: float, low: 0.0, high: 4.0, default: 1.0}",
            "policy=random", "budget.trials=3", f"hydra.run.dir={out}",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=200,
        env={**os.environ, "OVERNIGHT_CACHE": str(tmp_path / "cache"), "WANDB_MODE": "offline"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no test split was opened" in done.stdout
    assert "self-reported" in (out / "report.md").read_text()
    assert "improves" not in (out / "report.md").read_text()


def test_a_script_that_ignores_every_request_is_killed_with_its_children(tmp_path):
    text = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(os.environ['AR_MODEL_DIR'] + '/child', 'w').write(str(child.pid))\n"
        "print('score=1')\n"
        "time.sleep(600)\n"
    )
    task = make(script_folders.write(tmp_path / "folder", text), stop_grace_s=0.2)
    (tmp_path / "cache").mkdir()
    (tmp_path / "checkpoint").mkdir()
    context = Context(tmp_path / "cache", tmp_path / "sealed", tmp_path / "checkpoint", params={"x": 1.0}, stop_after=1)
    task.prepare(context.cache)
    task.train(context)
    child = Path("/proc") / (context.checkpoint_dir / "child").read_text()
    deadline = time.monotonic() + 5
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists() or "Z" in (child / "stat").read_text().split()[2]


def test_a_self_reported_score_survives_the_journal_and_is_never_a_shown_gain():
    found = Evaluation("validation", "score", 1.0, 1, 1.0, 1.0, "none", self_reported=True)
    assert found.problem() is None
    assert from_plain(Evaluation, to_plain(found)) == found


def cli(tmp_path, *words):
    """A study from the command line, offline; the report's text and what was printed."""
    done = subprocess.run(
        [sys.executable, "-m", "core", *words, "policy=random", "budget.trials=2", f"dir={tmp_path / 'study'}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=200,
        env={**os.environ, "OVERNIGHT_CACHE": str(tmp_path / "cache"), "WANDB_MODE": "offline"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return (tmp_path / "study" / "report.md").read_text(), done.stdout


def test_autoresearchs_folder_runs_unmodified_with_its_ten_line_config(tmp_path):
    folder = script_folders.write(tmp_path / "autoresearch", script_folders.KARPATHY_CONSTANTS)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    report, said = cli(tmp_path, "+experiment=autoresearch", f"task.folder={folder}")
    assert "1.120" in said, "the baseline's constants are the folder's own: 0.9 + 0.2 + 0.02"
    assert "self-reported" in report
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    rows = [line.split("\t") for line in (tmp_path / "study/results.tsv").read_text().splitlines()]
    assert rows[0][:5] == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert {row[2] for row in rows[2:]} == {"44.0"}, "peak_vram_mb in GiB"
    assert len({row[1] for row in rows[1:]}) == 2, "trial 1 has the defaults, trial 2 constants of its own"


def test_autoresearch_rls_folder_runs_unmodified_with_its_ten_line_config(tmp_path):
    folder = script_folders.write(tmp_path / "rl", script_folders.RL_ARGPARSE)
    words = ("+experiment=autoresearch_rl", f"task.folder={folder}", "task.train_args=[--train-file,data.txt]")
    report, said = cli(tmp_path, *words)
    assert "self-reported" in report
    assert "1.376" in said, "the baseline: 1.35 + 0.0002 * 130"


def test_constants_are_written_where_they_stand_and_nothing_else_changes():
    source = "# é\nA = 1  # one\nb = 2\nLR: float = 0.04\nBIG = (\n    2**19\n)\nif A:\n    LR = 5\n"
    assert constants.names(source).keys() == {"A", "LR", "BIG"}
    changed = constants.with_params(source, {"lr": 1e-3, "big": 64, "a": "x"})
    assert changed == "# é\nA = 'x'  # one\nb = 2\nLR: float = 0.001\nBIG = (\n    64\n)\nif A:\n    LR = 5\n"


def test_a_script_that_stops_with_code_42_needs_no_metric_but_has_no_score_either(tmp_path):
    task = make(script_folders.write(tmp_path / "folder", "import sys\nsys.exit(42)"))
    context = trained(tmp_path, task)
    assert json.loads((context.checkpoint_dir / "overnight_metrics.json").read_text()) == {}
    with pytest.raises(RuntimeError, match="it printed no metric"):
        task.evaluate(context.checkpoint_dir, "validation", context)


def test_a_prepare_script_is_stopped_with_its_job_and_leaves_nothing_prepared(tmp_path):
    folder = script_folders.write(tmp_path / "folder", "print('score=1')")
    (folder / "prepare.py").write_text("import os, time\nprint(os.getpid())\ntime.sleep(60)\n")
    spec = {"phase": "prepare", "task": {"name": "script", "folder": str(folder), "space": _SPACE}, "deadline_s": 60.0}
    job = tmp_path / "job"
    job.mkdir()
    (job / "spec.json").write_text(json.dumps(spec))
    env = {**os.environ, "OVERNIGHT_CACHE": str(tmp_path / "cache"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "core.worker"], cwd=job, env=env, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        child = Path("/proc") / worker.stdout.readline().strip()
        worker.terminate()
        assert worker.wait(30) == 1
    assert not child.exists()
    assert "was stopped before its end" in json.loads((job / "result.json").read_text())["error"]
    assert not list((tmp_path / "cache").rglob("meta.json"))


def test_a_prepared_copy_that_was_changed_is_not_trained_on(tmp_path):
    task = make(script_folders.write(tmp_path / "folder", "print('score=1')"))
    trained(tmp_path, task)
    (copy,) = (tmp_path / "cache").rglob("files/train.py")
    copy.write_text("print('score=100')")
    with pytest.raises(RuntimeError, match="was changed after it was made"):
        trained(tmp_path, task)
    copy.unlink()
    with pytest.raises(RuntimeError, match="was changed after it was made"):
        trained(tmp_path, task)


def test_a_resumed_study_keeps_to_the_folder_it_began_with(tmp_path):
    text = "import time\ntime.sleep(0.3)\nprint('score=1')"
    folder = script_folders.write(tmp_path / "folder", text)
    words = [
        sys.executable, "-m", "core", "task=script", f"task.folder={folder}", "budget.trials=4", "policy=random",
        "+task.space.x={type: float, low: 0.0, high: 4.0, default: 1.0}", f"dir={tmp_path / 'study'}",
    ]  # fmt: skip
    env = {**os.environ, "OVERNIGHT_CACHE": str(tmp_path / "cache"), "WANDB_MODE": "offline", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as study:
        assert study.stdout is not None
        next(line for line in study.stdout if "trial 1: score" in line)
        study.terminate()
        study.stdout.read()
        assert study.wait(60) == 143
    (folder / "train.py").write_text("print('score=50')")
    resumed = [sys.executable, "-m", "core", "resume", str(tmp_path / "study")]
    done = subprocess.run(resumed, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("\t") for line in (tmp_path / "study/results.tsv").read_text().splitlines()[1:]]
    assert len(rows) == 5
    assert {row[1] for row in rows} == {"1.000000"}
