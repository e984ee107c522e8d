"""Conformance of task `script`, with an evaluator and with self-reported scores."""

import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from core.testing import TaskConformance

sys.path.insert(0, str(Path(__file__).parent))
import script_folders

_HOME = Path(tempfile.mkdtemp(prefix="overnight-script-tests-"))
_SPACE = {"x": {"type": "float", "low": 0.0, "high": 4.0, "default": 1.0}}


class TestSealed(TaskConformance):
    name = "script"
    options: ClassVar[dict[str, Any]] = {
        "folder": str(script_folders.write(_HOME / "sealed", script_folders.RL_TRAIN, script_folders.EVALUATE)),
        "metric": "accuracy",
        "space": _SPACE,
        "sealed": ["answers.json"],
    }


class TestSelfReported(TaskConformance):
    name = "script"
    options: ClassVar[dict[str, Any]] = {
        "folder": str(script_folders.write(_HOME / "reported", script_folders.RL_TRAIN)),
        "metric": "eval_score",
        "space": _SPACE,
    }
