"""Jobs of a study: what one phase of one trial asks an executor to run."""

import os
from pathlib import Path

from core.contracts import BASELINE, HasLocalInputs, InvalidPatch, Job, Trial
from core.journal.events import Phase
from core.journal.fold import Fold, JobRecord
from core.study.layout import Layout
from core.study.parts import Parts
from core.study.program import placed
from core.study.stages import evaluated_on
from core.worker.spec import CHECKPOINT, EVALUATION, FILENAME, METRICS, PARTIAL, RESULT, RESUME, WorkerSpec

INPUTS = "inputs"

_OUTPUTS: dict[Phase, tuple[str, ...]] = {
    "prepare": (RESULT, METRICS),
    "train": (RESULT, METRICS, CHECKPOINT, PARTIAL),
    "validation": (RESULT, METRICS, EVALUATION),
    "test": (RESULT, METRICS, EVALUATION),
}


class CheckpointGone(Exception):
    """Somebody deleted the checkpoint of a trial before it was evaluated. kind: see Trial.error_kind."""

    kind = "evaluation"


class PatchRefused(CheckpointGone):
    """A trial's patch must not run: like a checkpoint that is gone, it makes the trial failed."""

    kind = "patch"


def token(study_id: str, trial: int, phase: Phase, attempt: int) -> str:
    """The job's idempotency token; the attempt fences results of earlier ones."""
    return f"{study_id}/{trial:04d}/{phase}/a{attempt}"


def deadline(parts: Parts, phase: Phase) -> float:
    """Seconds a job of this phase may take."""
    limits = parts.settings.deadline
    return {"prepare": limits.prepare_s, "train": limits.train_s}.get(phase, limits.evaluate_s)


def build_job(
    parts: Parts, layout: Layout, fold: Fold, trial: Trial, record: JobRecord, *, usd_per_hour: float | None
) -> Job:
    """Write the job's order into the trial's folder and describe the job. usd_per_hour: the price that
    is reserved. Raises OSError; CheckpointGone for an evaluation of what is not there any more, or
    (PatchRefused) a patch that fails its checks."""
    number, phase = trial.number, record.phase
    evaluated = phase in ("validation", "test") and number != BASELINE
    if evaluated and not layout.checkpoint(number).is_dir():
        raise CheckpointGone(f"its checkpoint is gone: {layout.checkpoint(number)}")
    order = layout.order(number, phase)
    order.parent.mkdir(parents=True, exist_ok=True)
    program = _program(parts, layout, trial) if phase == "train" else {}
    sandbox = parts.settings.sandbox if program else "off"
    inputs = {} if parts.caps.shares_files else local_inputs(parts)
    spec = WorkerSpec(
        phase=phase,
        task=parts.task_node,
        inputs={key: name for key, (name, _) in inputs.items()},
        rewards=parts.rewards if phase in ("prepare", "train") else {},
        params=trial.proposal.params if phase == "train" else {},
        seed=trial.training_seed(fold.creation.seed),
        preflight=parts.settings.guard.preflight if phase == "prepare" else "off",
        baseline=number == BASELINE,
        deadline_s=record.deadline_s,
        partial_every_s=parts.settings.partial_every_s,
        program=tuple(parts.program.files) if program and parts.program else (),
        sandbox=sandbox,
        readable=parts.settings.sandbox_readable if program else (),
    )
    _write(order, spec.model_dump_json(indent=2))
    files = {FILENAME: order, **dict(inputs.values()), **program}
    if evaluated:
        files[CHECKPOINT] = layout.checkpoint(number)
    if phase == "train" and layout.partial(number).is_dir():
        files[RESUME] = layout.partial(number)
    return Job(
        token=record.token,
        owner=fold.creation.study_id,
        command=("python", "-m", "core.worker"),
        files=files,
        # What tasks remember of a study is found in a sandbox too, whichever executor runs it.
        env={"OVERNIGHT_OWNER": fold.creation.study_id} if program else {},
        resources=parts.resources,
        deadline_s=record.deadline_s,
        grace_s=parts.settings.grace_s,
        outputs=_OUTPUTS[phase],
        mirrored=(PARTIAL,) if phase == "train" else (),
        hardware=_hardware(parts, fold, phase),
        max_usd_per_hour=usd_per_hour,
        sandboxed=sandbox == "on",
    )


def _program(parts: Parts, layout: Layout, trial: Trial) -> dict[str, Path]:
    try:
        return placed(parts.program, layout, trial)
    except InvalidPatch as refused:
        raise PatchRefused(f"its patch is refused: {refused}") from None


def _hardware(parts: Parts, fold: Fold, phase: Phase) -> str | None:
    """Scores are compared, so they are made on one kind of machine: the baseline's."""
    return evaluated_on(fold) if parts.settings.same_hardware and phase in ("validation", "test") else None


def local_inputs(parts: Parts) -> dict[str, tuple[str, Path]]:
    """Key of the task's config → (where the job finds it in its folder, where it stands here)."""
    if not isinstance(parts.task, HasLocalInputs):
        return {}
    return {key: (f"{INPUTS}/{key}/{path.name}", path) for key, path in parts.task.local_inputs().items()}


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
