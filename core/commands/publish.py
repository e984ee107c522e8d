"""Publishes a study's model with its model card, to a folder or to the hub."""

import json
from pathlib import Path
from typing import Any

from core.commands.arguments import Parser, study_dirs
from core.errors import UsageError
from core.publish.bundle import Bundle, gather
from core.publish.destination import ToHub, parse_destination
from core.publish.folder import publish_to_folder
from core.publish.hub import publish_to_hub
from core.study.launch import read_facts


def main(argv: list[str]) -> int:
    """`publish DIR --to hub:user/name|PATH [--trial N] [--private] [--overwrite] [--json]`."""
    parser = Parser(prog="python -m core publish", description=__doc__)
    parser.add_argument("dir", type=Path, metavar="DIR", help="the study directory")
    parser.add_argument("--to", required=True, metavar="DEST", help="hub:user/name, folder:PATH or PATH")
    parser.add_argument("--trial", type=int, default=None, metavar="N", help="another trial than the incumbent")
    parser.add_argument("--private", action="store_true", help="make the hub's repository private")
    parser.add_argument("--overwrite", action="store_true", help="replace another model that is there")
    parser.add_argument("--json", action="store_true", help="print what was published for programs")
    arguments = parser.parse_args(argv)
    target = parse_destination(arguments.to)
    if arguments.private and not isinstance(target, ToHub):
        raise UsageError("--private is for the hub; a folder is as private as the place it is in")
    facts = read_facts(_study(arguments.dir))
    if isinstance(target, ToHub):
        bundle = gather(facts, arguments.trial, target.name)
        place = publish_to_hub(bundle, target.name, private=arguments.private, overwrite=arguments.overwrite)
    else:
        bundle = gather(facts, arguments.trial)
        directory = facts.study.directory
        place = str(publish_to_folder(bundle, target.path, directory, overwrite=arguments.overwrite))
    if arguments.json:
        print(json.dumps(_plain(bundle, place), indent=2))
    else:
        _show(bundle, place)
    return 0


def _study(given: Path) -> Path:
    found = study_dirs([given])
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:3])
        raise UsageError(f"{given} holds {len(found)} studies ({names} …): name the one to publish")
    return found[0]


def _show(bundle: Bundle, place: str) -> None:
    print(bundle.verdict.sentence)
    for caveat in bundle.verdict.caveats:
        print(caveat)
    for warning in bundle.warnings:
        print(f"Note: {warning}.")
    if bundle.checkpoint.left_out:
        print(f"Left out: {', '.join(bundle.checkpoint.left_out)} (not part of the model).")
    print(f"Published trial {bundle.trial.number}, {len(bundle.names)} files, {bundle.size / 1e6:.1f} MB: {place}")


def _plain(bundle: Bundle, place: str) -> dict[str, Any]:
    return {
        "study": bundle.study,
        "trial": bundle.trial.number,
        "place": place,
        "files": bundle.names,
        "bytes": bundle.size,
        "verdict": bundle.verdict.sentence,
        "caveats": list(bundle.verdict.caveats),
        "warnings": list(bundle.warnings),
        "left_out": list(bundle.checkpoint.left_out),
    }
