"""Reaping: deletes what a study left on its executor and its journal does not know as running."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.contracts import Executor
from core.errors import OvernightError, StudyBusy, StudyStopped
from core.journal.lock import controller_lock
from core.journal.store import Journal
from core.plugins import Registry
from core.study import stages
from core.study.known import KnownStudy
from core.study.launch import replay
from core.study.layout import Layout
from core.study.patience import Patience, persist


@dataclass(frozen=True)
class Reaping:
    """What was found of one study. place: its directory, which may be gone. deleted: tokens of jobs
    that were stopped and deleted. kept: tokens that `resume` will take up. skipped: why nothing was done."""

    study_id: str
    place: str
    deleted: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    skipped: str = ""


def reap_study(directory: Path, registry: Registry, *, running: bool = False) -> Reaping:
    """Reap one study directory. running: also what its journal knows as running (resume starts it again).

    A study that a controller works on is left alone: it reaps by itself, and its journal is ahead
    of what can be read. Raises UsageError for no study, StudyStopped for an executor out of order.
    """
    layout = Layout(directory.resolve())
    Journal.open(layout.journal, readonly=True).close()
    try:
        with controller_lock(layout.directory), Journal.open(layout.journal, readonly=True) as journal:
            fold = replay(journal, layout.directory)
            live = set() if running else {job.token for job in stages.running_jobs(fold)}
            executor = _executor(registry, fold.config["executor"], layout.workspace)
            deleted = _reap(executor, fold.creation.study_id, live)
            kept = tuple(token for token in sorted(live) if _found(executor, token))
            return Reaping(fold.creation.study_id, str(directory), deleted, kept)
    except StudyBusy as busy:
        return Reaping("", str(directory), skipped=f"{busy}; it reaps by itself")


def reap_orphaned(study: KnownStudy, registry: Registry) -> Reaping:
    """Reap a study whose directory is gone: nobody waits for anything of it. See `reap_study`."""
    with tempfile.TemporaryDirectory(prefix="overnight-reap-") as workspace:
        executor = _executor(registry, study.executor, Path(workspace))
        return Reaping(study.study_id, study.directory, _reap(executor, study.study_id, set()))


def _executor(registry: Registry, node: Mapping[str, Any], workspace: Path) -> Executor:
    try:
        built: Executor = registry.build("executor", node, workspace=workspace)
    except OvernightError:
        raise
    except Exception as error:  # its credentials are not there, or it is out of order: a plugin may raise anything
        raise StudyStopped(f"executor {node.get('name')!r}: {error}") from error
    return built


def _found(executor: Executor, token: str) -> bool:
    looked = persist(lambda: executor.find(token), f"could not look for {token}", Patience(short=True))
    return looked is not None


def _reap(executor: Executor, owner: str, live: set[str]) -> tuple[str, ...]:
    try:
        reaped = persist(lambda: executor.reap(owner, live), "could not look for left-over jobs", Patience(short=True))
    except OvernightError as error:
        raise StudyStopped(f"study {owner}: {error}") from error
    return reaped.tokens
