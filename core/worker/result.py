"""A job's result: written last and by rename, so that it is whole or absent."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.contracts import Evaluation, ItemScore, Preflight
from core.contracts.codec import dumps, from_plain
from core.worker.spec import EVALUATION, RESULT


@dataclass(frozen=True)
class JobResult:
    """What the worker says of its own end.

    error_kind: "exception" (the task raised), "setup" (it cannot work with this configuration),
    "preflight" (it refuses to train), "not-finite" (the evaluation cannot count) or, of a training in a
    sandbox, "exit" and "signal" (it ended without a word).
    evaluation: without items; those stand in evaluation.jsonl beside it. stopped_early: training
    honoured a stop or the deadline. details: of training, where the time before its first step
    went and the most memory it held; see core.worker.timing.
    """

    status: Literal["succeeded", "failed"]
    error: str | None = None
    error_kind: str | None = None
    seconds: float = 0.0
    stopped_early: bool = False
    evaluation: Evaluation | None = None
    preflight: Preflight | None = None
    details: dict[str, float] = field(default_factory=dict)


def write_result(folder: Path, result: JobResult) -> None:
    """Write result.json durably and by rename."""
    partial = folder / f"{RESULT}.partial"
    with partial.open("w", encoding="utf-8") as file:
        file.write(dumps(result))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / RESULT)


def read_result(folder: Path) -> JobResult | None:
    """The result in a folder, or None if there is none that can be read."""
    try:
        return from_plain(JobResult, json.loads((folder / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def write_items(folder: Path, items: Sequence[ItemScore]) -> None:
    """Write evaluation.jsonl: one {"id", "score"} a line."""
    lines = [json.dumps({"id": item.id, "score": item.score}) for item in items]
    (folder / EVALUATION).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_items(path: Path) -> tuple[ItemScore, ...]:
    """The item scores of an evaluation.jsonl. Raises OSError or ValueError if it is not whole."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    try:
        return tuple(ItemScore(str(row["id"]), float(row["score"])) for row in rows)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not what an evaluator writes: {error}") from None
