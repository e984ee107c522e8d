"""The incumbent's checkpoint as a W&B artifact."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import Study, Trial
from overnight_tracker_wandb.contents import artifact_name, plain, trial_run_id

if TYPE_CHECKING:
    from wandb import Artifact, Run

ALIAS = "best"
_MB = 2**20


def checkpoint_artifact(study: Study, trial: Trial, max_mb: float) -> "Artifact | str":
    """What stands at `study.directory / "best"` as an artifact, or why there is none."""
    import wandb

    place = (study.directory / "best").resolve()
    if not place.exists():
        return f"trial {trial.number} has no checkpoint at {study.directory / 'best'}: no artifact was logged"
    size = _size(place) / _MB
    if size > max_mb:
        return (
            f"the checkpoint of trial {trial.number} has {size:.0f} MiB, above trackers.wandb.max_artifact_mb="
            f"{max_mb:g}: no artifact was logged"
        )
    artifact = wandb.Artifact(artifact_name(study), "model", metadata=_metadata(study, trial))
    # A trial's checkpoint never changes, so that W&B need not copy gigabytes before uploading.
    if place.is_dir():
        artifact.add_dir(str(place), policy="immutable", skip_cache=True)
    else:
        artifact.add_file(str(place), policy="immutable", skip_cache=True)
    return artifact


def log_checkpoint(run: "Run", artifact: "Artifact", trial: Trial) -> None:
    """Log it from the study's run with alias "best". The same files again make no new version."""
    run.log_artifact(artifact, aliases=[ALIAS, f"trial-{trial.number}"])


def _metadata(study: Study, trial: Trial) -> dict[str, Any]:
    found = trial.evaluation
    return {
        "study": study.id,
        "task": study.task,
        "trial": trial.number,
        "run": trial_run_id(study, trial.number),
        "metric": study.objective.metric,
        "score": found.value if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "n": found.n if found else None,
        "params": {name: plain(value) for name, value in trial.proposal.params.items()},
    }


def _size(place: Path) -> int:
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)
