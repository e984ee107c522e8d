"""Effects: what the study does to the outside world, each a function for a worker thread."""

import json
import math
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.contracts import Ambiguous, Evaluation, Executor, Handle, Job, NotYet, Offer
from core.errors import StudyStopped
from core.journal.events import Phase
from core.study import bills, partial
from core.study.layout import Layout
from core.study.patience import PATIENCE_S, Patience, persist
from core.worker.result import JobResult, read_items, read_result
from core.worker.spec import CHECKPOINT, EVALUATION, METRICS, RESULT

_SOON_S = 30.0  # after its grace time a job is expected to be gone

# Seconds between looks for a job whose creation was not answered.
_SEARCH_S = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Collected:
    """What a job left, now in the study directory. problem: why it cannot be used, or None.
    partial: of a lost training, whether there is a partial checkpoint to go on from. absent: there
    was no result.json at all."""

    result: JobResult | None = None
    evaluation: Evaluation | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    last_line: str = ""
    problem: str | None = None
    partial: bool = False
    absent: bool = False


def submit(
    executor: Executor, job: Job, patience: Patience, *, search_first: bool, usd_per_hour: float | None
) -> Handle | Offer:
    """Start a job exactly once, whatever answers get lost.

    search_first: look for the job by its token before creating it (after a restart).
    usd_per_hour: the price that is reserved, None = nothing can cost anything. Returns the best
    offer, and starts nothing, if it costs more than that now.
    Raises StudyStopped when the executor stays out of order.
    """
    search = search_first

    def once() -> Handle | Offer:
        nonlocal search
        if search and (found := executor.find(job.token)):
            return found
        offers = executor.offers(job.resources) if usd_per_hour is not None else ()
        if offers and usd_per_hour is not None and offers[0].usd_per_hour > usd_per_hour * (1 + 1e-9):
            return offers[0]
        try:
            return executor.submit(job, job.token)
        except Ambiguous:
            # The job may or may not exist. Submitting again with the same token is safe by
            # contract, but a listing that lags could hide the first one: ask a while.
            search = True
            for pause in _SEARCH_S:
                time.sleep(pause)
                if found := executor.find(job.token):
                    return found
            raise

    return persist(once, f"could not submit {job.token}", patience)


def collect(
    executor: Executor, handle: Handle, layout: Layout, trial: int, phase: Phase, patience: Patience
) -> Collected:
    """Bring a job's outputs into the study directory; may be repeated.

    Raises StudyStopped when they cannot be fetched or written (disk full).
    """
    incoming = layout.trial(trial) / f".incoming-{phase}"
    persist(lambda: executor.fetch(handle, incoming), f"could not fetch the outputs of {handle.token}", patience)
    try:
        absent = not (incoming / RESULT).exists()
        result = read_result(incoming)
        log = incoming / "log.txt"
        last_line = _last_line(log)
        _move(log, layout.log(trial, phase))
        _move(incoming / METRICS, layout.metrics(trial, phase))
        evaluation, problem = None, None
        if result is not None and result.status == "succeeded":
            if phase == "train":
                problem = _move_checkpoint(incoming / CHECKPOINT, layout.checkpoint(trial))
                partial.forget(layout, trial)
            elif result.evaluation is not None:
                evaluation, problem = _evaluation(result.evaluation, incoming / EVALUATION)
                _move(incoming / EVALUATION, layout.items(trial, phase))
        metrics = last_metrics(layout.metrics(trial, phase)) if phase == "train" else {}
        if phase == "train" and result is not None:
            metrics |= {name: value for name, value in result.details.items() if math.isfinite(value)}
        shutil.rmtree(incoming, ignore_errors=True)
    except OSError as error:
        raise StudyStopped(f"could not store the outputs of {handle.token}: {error}") from error
    return Collected(result, evaluation, metrics, last_line, problem, absent=absent)


def cancel(executor: Executor, handle: Handle, grace_s: float, patience: Patience) -> None:
    """Stop a job and delete what is left of it; returns when it is gone.

    Raises StudyStopped when it is still there long after the grace time; a machine may take minutes
    to go, so that is `PATIENCE_S` while the study goes on, and half a minute once it stops.
    """
    began, pause, said = time.monotonic(), 0.05, False
    while True:
        try:
            persist(lambda: executor.cancel(handle, grace_s), f"could not cancel {handle.token}", patience)
            return
        except NotYet:
            waited = time.monotonic() - began - grace_s
            if waited > (_SOON_S if patience.hurried else PATIENCE_S):
                raise StudyStopped(
                    f"{handle.token} is still there {waited + grace_s:.0f} s after it was cancelled"
                ) from None
            if waited > _SOON_S and not said:
                patience.troubles.put(f"{handle.token} is still being deleted; it is asked for again")
                said = True
            time.sleep(pause)
            pause = min(2.0, pause * 1.3)


def clean(executor: Executor, handle: Handle, grace_s: float, patience: Patience) -> float | None:
    """Delete what is left of a job; returns what the provider charged for it, None = it does not say."""
    cancel(executor, handle, grace_s, patience)
    return bills.asked(executor, handle)


def last_metrics(path: Path) -> dict[str, float]:
    """The last finite value of every metric in a metrics.jsonl."""
    found: dict[str, float] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            metrics = json.loads(line)["metrics"]
            found.update({k: float(v) for k, v in metrics.items() if v is not None and math.isfinite(float(v))})
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue  # a torn or foreign line; the live watch has said so already
    return found


def _evaluation(summary: Evaluation, path: Path) -> tuple[Evaluation | None, str | None]:
    try:
        evaluation = replace(summary, items=read_items(path))
    except (OSError, ValueError) as error:
        return None, f"the evaluation's item scores cannot be read: {error}"
    problem = evaluation.problem()
    return (None, problem) if problem else (evaluation, None)


def _move(source: Path, target: Path) -> None:
    if source.exists():
        source.replace(target)


def _move_checkpoint(source: Path, target: Path) -> str | None:
    if not source.is_dir():
        return "training succeeded but its checkpoint did not come back"
    if target.exists():
        shutil.rmtree(target)
    source.replace(target)
    return None


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (
        "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in lines[-1])[:300]
        if lines
        else ""
    )
