"""The studies known on this machine: a list outside of all study directories, for `reap --all`.

A study whose directory was deleted may still have machines that are billed; the list knows how
its executor is reached. It is no record of anything else, and losing it loses no study.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class KnownStudy:
    """One line of the list. executor: the study's executor node, as configured."""

    study_id: str
    directory: str
    executor: dict[str, Any] = field(default_factory=dict)


def list_path() -> Path:
    """$XDG_STATE_HOME/overnight/studies.jsonl; ~/.local/state where that is not set (XDG Base
    Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "overnight" / "studies.jsonl"


def remember(study_id: str, directory: Path, executor: Mapping[str, Any]) -> str | None:
    """Add a study; one short write, so that studies that start together do not mix. Returns why it
    could not be added, or None."""
    line = json.dumps(asdict(KnownStudy(study_id, str(directory), dict(executor)))) + "\n"
    path = list_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        return f"the study is not in {path} ({error.strerror}): `reap --all` will not find it"
    return None


def known() -> list[KnownStudy]:
    """All studies in the list, oldest first; torn and foreign lines are left out."""
    try:
        lines = list_path().read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found: dict[str, KnownStudy] = {}
    for line in lines:
        try:
            study = KnownStudy(**json.loads(line))
        except (ValueError, TypeError):
            continue
        found[study.study_id] = study
    return list(found.values())


def forget(gone: set[str]) -> None:
    """Take studies out of the list. Raises OSError."""
    kept = [study for study in known() if study.study_id not in gone]
    partial = list_path().with_suffix(".partial")
    partial.write_text("".join(json.dumps(asdict(study)) + "\n" for study in kept), encoding="utf-8")
    partial.replace(list_path())
