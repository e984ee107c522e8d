"""A trainer's partial checkpoints: kept whole, and found again by the next attempt."""

import json
import shutil
from pathlib import Path

from core import TrainContext

_NAME = "checkpoint-"
_STATE = "trainer_state.json"


def keep(saved: Path, context: TrainContext) -> None:
    """Move a checkpoint folder that transformers' Trainer has written, e.g. "checkpoint-40", into
    `context.partial_dir`, by rename; older ones go."""
    older = list(context.partial_dir.glob(f"{_NAME}*"))
    saved.rename(context.partial_dir / saved.name)
    for folder in older:
        shutil.rmtree(folder, ignore_errors=True)


def to_go_on_from(context: TrainContext) -> str | None:
    """The newest whole checkpoint of an earlier attempt, or None; the trial's log says which."""
    if context.resume_from is None:
        return None
    for folder in sorted(context.resume_from.glob(f"{_NAME}*"), key=_step, reverse=True):
        if _step(folder) > 0:
            print(f"going on from step {_step(folder)} of an earlier attempt", flush=True)
            return str(folder)
        print(f"{folder.name} of an earlier attempt cannot be read: left out", flush=True)
    return None


def _step(folder: Path) -> int:
    """The optimiser step it was saved after; 0 if it is not whole."""
    try:
        return int(json.loads((folder / _STATE).read_text(encoding="utf-8"))["global_step"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
