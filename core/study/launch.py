"""Launching: creates a study in a directory, or takes up one that was interrupted, and runs it."""

import os
import platform
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.budget.plan import Plan, Times, make_plan, sentence
from core.contracts.codec import to_plain
from core.errors import JournalError, NothingCompleted, OvernightError, UsageError
from core.journal import blank, snapshot
from core.journal import events as ev
from core.journal.facts import Limits, Notice, StudyFacts
from core.journal.fold import Fold
from core.journal.lock import controller_lock, is_held
from core.journal.store import Journal
from core.plugins import Registry
from core.study import certifying, known
from core.study.engine import Engine
from core.study.interrupt import Interrupt, Interrupted
from core.study.layout import Layout
from core.study.notifier import Notifier, drain
from core.study.observer import Observer
from core.study.parts import Parts, build
from core.study.program import program_of, with_log
from core.study.recorder import Recorder

_PACKAGES = ("overnight", "torch", "transformers", "trl", "optuna", "wandb")


@dataclass(frozen=True)
class Outcome:
    """How a controller's work ended.

    exit_code: see core.errors.EXIT_CODES. error: what to tell the person, or "".
    notes: lines from the trackers.
    """

    facts: StudyFacts
    exit_code: int = 0
    error: str = ""
    notes: tuple[str, ...] = ()


def create(
    config: Mapping[str, Any], directory: Path, registry: Registry, observers: Sequence[Observer] = ()
) -> Outcome:
    """Run a new study in `directory`. Raises UsageError before anything is started or written."""
    layout = Layout(directory.resolve())
    if layout.journal.exists() and not blank.is_blank(layout.journal):
        raise UsageError(f"{directory} already holds a study; continue it with: python -m core resume {directory}")
    parts = build(config, registry, layout.workspace)
    _make(layout.workspace)
    with controller_lock(layout.directory), _new_journal(layout.journal) as journal:
        space = {name: to_plain(param) for name, param in parts.space.items()}
        created = ev.StudyCreated(
            study_id=_new_id(parts.settings.name),
            name=parts.settings.name,
            objective=parts.task.objective,
            space=space,
            seed=parts.settings.seed,
            config=dict(config),
            versions=_versions(registry),
        )
        fold = Fold(layout.directory)
        limits = Fold.limits_of(dict(config))
        planned = certifying.plan(limits, parts.settings.certification, _costs(parts, limits).sure)
        unknown = known.remember(created.study_id, layout.directory, parts.settings.executor)
        for entry in journal.append(created, planned, *([ev.Noticed(unknown)] if unknown else [])):
            fold.apply(entry)
        return _run(parts, journal, fold, layout, observers, resumed=False)


def resume(
    directory: Path,
    registry: Registry,
    observers: Sequence[Observer] = (),
    change: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    *,
    again: bool = False,
) -> Outcome:
    """Continue an interrupted study. change: edits the recorded configuration (e.g. its budget). again:
    also a finished one, whose test split may then be opened again, which the journal and so the
    report say for ever.

    Raises UsageError for no study or a finished one, StudyBusy if it is being run.
    """
    layout = Layout(directory.resolve())
    Journal.open(layout.journal, readonly=True).close()
    with controller_lock(layout.directory), Journal.open(layout.journal) as journal:
        fold = replay(journal, layout.directory)
        if fold.finished is not None and not again:
            raise UsageError(
                f"{directory} is finished ({fold.finished}): its test split was opened, so it cannot go on. "
                f"Start a new study, or see: python -m core report {directory}. To go on all the same and have the "
                f"report say so for ever: python -m core resume {directory} --open-test-again"
            )
        if fold.finished is None and again:
            raise UsageError(f"{directory} is not finished: resume it without --open-test-again")
        config = change(fold.config) if change else fold.config
        parts = build(config, registry, layout.workspace)
        if again:
            for entry in journal.append(ev.TestReopened(fold.test_opened)):
                fold.apply(entry)
        _make(layout.workspace)
        fold.config = dict(config)
        return _run(parts, journal, fold, layout, observers, resumed=True)


def replay(journal: Journal, directory: Path, *, tolerant: bool = False) -> Fold:
    """The fold of a whole journal: its snapshot, then the events after it.

    tolerant: of a damaged journal, give what is readable, with a notice that says so. Raises
    JournalError for a damaged one otherwise and for one without a study, UsageError for one of
    a newer Overnight.
    """
    with journal.reading() as db, snapshot.no_collection():
        fold = snapshot.load(db, directory) or Fold(directory)
        try:
            for entry in journal.entries(after=fold.kept.seq):
                fold.apply(entry)
        except JournalError as error:
            if not tolerant or fold.created is None:
                raise
            fold.notices.append(Notice(f"only the readable part is shown: {error}", fold.elapsed_s))
    _ = fold.creation
    return fold


def read_facts(directory: Path) -> StudyFacts:
    """What the journal in a study directory says, read beside a running controller; of a damaged
    journal what is readable, with a notice.

    Raises UsageError if the directory holds no study, JournalError if nothing of it is readable.
    """
    with Journal.open(Layout(directory).journal, readonly=True) as journal:
        facts = replay(journal, directory.resolve(), tolerant=True).facts()
    gone = facts.state == "running" and not is_held(directory)
    return replace(facts, state="killed") if gone else facts


def _run(
    parts: Parts, journal: Journal, fold: Fold, layout: Layout, observers: Sequence[Observer], *, resumed: bool
) -> Outcome:
    parts = replace(parts, program=program_of(parts.task, layout))
    notifier = Notifier(parts.registry.manager, with_log(parts.program, layout, parts.trackers))
    recorder = Recorder(journal, fold, [*observers, notifier])
    exit_code, error = 0, ""
    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        try:
            if fold.incumbent:
                layout.point_best_at(fold.incumbent)
            config = fold.config if resumed else None
            recorder.record(ev.ControllerStarted(os.getpid(), socket.gethostname(), resumed, config))
            for number in fold.ended:
                if number not in fold.told:
                    notifier.finished(fold.study(), number)
            recorder.record(_plan(parts, fold))
            Engine(parts, recorder, layout, notifier, interrupt, resumed=resumed).run()
            if not any(record.trial.score is not None for number, record in fold.records.items() if number):
                exit_code, error = NothingCompleted.exit_code, "no trial completed; see the errors above"
        except Interrupted as stop:
            exit_code, error = stop.exit_code, f"interrupted ({stop})"
        except OvernightError as stop:
            exit_code, error = stop.exit_code, str(stop)
        notes = notifier.close(parts.settings.trackers_timeout_s)
        _record_last_words(recorder, notifier)
    return Outcome(fold.facts(), exit_code, error, tuple(notes))


def _costs(parts: Parts, limits: Limits) -> Plan:
    deadline, grace = parts.settings.deadline, parts.overhead_s
    times = Times(deadline.prepare_s, deadline.train_s, deadline.evaluate_s, grace)
    return make_plan(limits, parts.price, times, parts.offer.hardware)


def _plan(parts: Parts, fold: Fold) -> ev.PlanMade:
    said = f"; {fold.certify.text}" if fold.certify else ""
    text = sentence(_costs(parts, fold.limits())) + said
    return ev.PlanMade(text, parts.offer.hardware, parts.price.usd_per_hour)


def _record_last_words(recorder: Recorder, notifier: Notifier) -> None:
    last = [ev.Noticed(text) for text in drain(notifier.problems)]
    told = [ev.TrackersTold(number) for number in drain(notifier.told)]
    try:
        if last or told:
            recorder.record(*last, *told)
    except OvernightError:
        # The journal already refused to be written (full disk), which is what the study's own
        # error says; that a tracker had something to say too changes nothing for the person.
        return


def _new_journal(path: Path) -> Journal:
    if path.exists() and blank.is_blank(path):
        blank.remove(path)  # a controller was killed before it wrote the first event
    return Journal.create(path)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write in {folder.parent}: {error.strerror}; choose another place with dir=PATH"
        ) from None


def _new_id(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "study"
    return f"{slug}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _versions(registry: Registry) -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in (*_PACKAGES, *(plugin.distribution for plugin in registry.plugins())):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # not installed: nothing to say about it
    return found
