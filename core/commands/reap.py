"""Deletes what studies left running and nobody waits for; machines that are billed first of all."""

import json
from dataclasses import asdict
from pathlib import Path

from core.commands.arguments import Parser, study_dirs
from core.errors import OvernightError
from core.journal.store import FILENAME
from core.plugins import Registry, discover
from core.study.known import forget, known
from core.study.launch import read_facts
from core.study.reaping import Reaping, reap_orphaned, reap_study


def main(argv: list[str]) -> int:
    """`reap DIR… | --all [--running] [--json]`; the exit code is 3 if a study could not be reaped."""
    parser = Parser(prog="python -m core reap", description=__doc__)
    parser.add_argument("dirs", type=Path, nargs="*", metavar="DIR", help="study directories, or folders of them")
    parser.add_argument("--all", action="store_true", help="all studies ever started here, also deleted ones")
    parser.add_argument(
        "--running", action="store_true", help="also what the journal knows as running; resume starts it again"
    )
    parser.add_argument("--json", action="store_true", help="the same facts for programs")
    arguments = parser.parse_args(argv)
    if bool(arguments.dirs) == arguments.all:
        parser.error("give study directories, or --all")
    registry = discover()
    if arguments.all:
        found = _all(registry, running=arguments.running)
    else:
        found = [_one(place, registry, running=arguments.running) for place in study_dirs(arguments.dirs)]
    if arguments.json:
        print(json.dumps([asdict(reaping) for reaping in found], indent=2))
    else:
        _print(found)
    return 3 if any(reaping.skipped.startswith("failed") for reaping in found) else 0


def _one(place: Path, registry: Registry, *, running: bool) -> Reaping:
    try:
        return reap_study(place, registry, running=running)
    except OvernightError as error:
        return Reaping("", str(place), skipped=f"failed: {error}")


def _all(registry: Registry, *, running: bool) -> list[Reaping]:
    found, gone = [], set()
    for study in known():
        place = Path(study.directory)
        try:
            facts = read_facts(place).study if (place / FILENAME).exists() else None
            if facts is not None and facts.id == study.study_id:
                reaping, over = reap_study(place, registry, running=running), facts.finished is not None
            else:  # its directory is gone, or another study lies there now
                reaping, over = reap_orphaned(study, registry), True
        except OvernightError as error:  # one study out of order must not keep the others' machines alive
            found.append(Reaping(study.study_id, study.directory, skipped=f"failed: {error}"))
            continue
        found.append(reaping)
        if over and not reaping.skipped:
            gone.add(study.study_id)
    if gone:
        forget(gone)
    return found


def _print(found: list[Reaping]) -> None:
    for reaping in found:
        if reaping.skipped:
            print(f"{reaping.place}: {reaping.skipped}")
            continue
        said = f"deleted {len(reaping.deleted)} left-over jobs" if reaping.deleted else "nothing left over"
        kept = f"; {len(reaping.kept)} running jobs kept, which resume takes up" if reaping.kept else ""
        print(f"{reaping.place}: {said}{kept}")
        for token in reaping.deleted:
            print(f"  deleted {token}")
        for token in reaping.kept:
            print(f"  kept    {token}")
    print(f"{len(found)} studies, {sum(len(reaping.deleted) for reaping in found)} jobs deleted")
