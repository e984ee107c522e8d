"""What a patch may change of a script folder, and that only training sees it."""

import sys
from pathlib import Path
from typing import Any

import pytest

from core import HasProgram, SetupError
from core.plugins import discover
from core.testing.contexts import Context

sys.path.insert(0, str(Path(__file__).parent))
import script_folders

_SPACE = {"x": {"type": "float", "low": 0.0, "high": 4.0, "default": 1.0}}


def make(folder: Path, **options: Any) -> Any:
    node = {"name": "script", "folder": str(folder), "space": _SPACE, "metric": "eval_score", **options}
    return discover().build("task", node)


def test_the_program_is_train_alone_unless_more_is_said(tmp_path: Path) -> None:
    folder = script_folders.write(tmp_path / "f", script_folders.RL_TRAIN, script_folders.EVALUATE)
    (folder / "model.py").write_text("DEPTH = 2\n")
    task = make(folder, required_calls=["json.dump"])
    assert isinstance(task, HasProgram)
    program = task.program()
    assert program.files == {"train.py": script_folders.RL_TRAIN}
    assert (program.required_calls, program.about) == (("json.dump",), "Make it better.\n")
    assert set(make(folder, editable=["train.py", "model.py"]).program().files) == {"train.py", "model.py"}
    assert task.training_reads() == []


@pytest.mark.parametrize("frozen", ["prepare.py", "evaluate.py", "answers.json", "nowhere.py"])
def test_what_is_frozen_cannot_be_made_editable(tmp_path: Path, frozen: str) -> None:
    folder = script_folders.write(tmp_path / "f", script_folders.RL_TRAIN, script_folders.EVALUATE)
    with pytest.raises(SetupError, match=r"task\.editable"):
        make(folder, editable=["train.py", frozen], sealed=["answers.json"]).check()


def test_training_runs_the_patched_script_and_nothing_else_does(tmp_path: Path) -> None:
    folder = script_folders.write(tmp_path / "f", script_folders.RL_TRAIN, script_folders.EVALUATE)
    task = make(folder, sealed=["answers.json"])
    (tmp_path / "cache").mkdir()
    patched = script_folders.RL_TRAIN.replace('float(params["x"])', "2.0")
    scores = []
    for place, program in enumerate((None, {"train.py": patched}, None)):
        checkpoint = tmp_path / f"c{place}"
        checkpoint.mkdir()
        context = Context(tmp_path / "cache", tmp_path / "sealed", checkpoint, params={"x": 1.0}, program=program)
        task.prepare(context.cache)
        task.train(context)
        scores.append(task.evaluate(checkpoint, "validation", context).value)
    assert scores[1] == 1.0
    assert scores[0] == scores[2] < 1.0
    assert (folder / "train.py").read_text() == script_folders.RL_TRAIN
