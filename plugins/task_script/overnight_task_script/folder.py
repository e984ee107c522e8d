"""The script folder's snapshots: content-addressed, so that edits do not reach a running study."""

import fnmatch
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from core import SetupError

_OWNER = "OVERNIGHT_OWNER"  # set by executors that tell a job which study it belongs to


def files_of(folder: Path, exclude: tuple[str, ...]) -> Iterator[Path]:
    """Paths of the folder's files relative to it, sorted, without what a pattern excludes."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        names = (*inside.parts, inside.as_posix())
        if path.is_file() and not any(fnmatch.fnmatch(name, pattern) for name in names for pattern in exclude):
            yield inside


def digest(folder: Path, files: list[Path], extra: str) -> str:
    """A name for these files' names and bytes, and for `extra`."""
    found = hashlib.sha256(extra.encode())
    for inside in files:
        found.update(f"\0{inside.as_posix()}\0".encode())
        found.update(hashlib.sha256((folder / inside).read_bytes()).digest())
    return found.hexdigest()[:16]


def copy_files(source: Path, files: list[Path], target: Path) -> None:
    """Copy these files into `target`, which appears whole or not at all."""
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for inside in files:
        (partial / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / inside, partial / inside)
    partial.replace(target)


def is_sealed(inside: Path, sealed: tuple[str, ...]) -> bool:
    """Whether a file is one of the sealed names, or in a sealed folder."""
    return any(inside.is_relative_to(Path(name)) for name in sealed)


def pinned(root: Path, folder: Path) -> str | None:
    """The content with which this job's study began, if its executor names the study."""
    try:
        return str(json.loads(_pin(root, folder).read_text(encoding="utf-8"))["content"])
    except (OSError, KeyError):
        return None


def pin(root: Path, folder: Path, content: str) -> None:
    """Keep to this content for the rest of the study."""
    if not os.environ.get(_OWNER):
        return
    path = _pin(root, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".partial-{os.getpid()}")
    partial.write_text(json.dumps({"content": content, "folder": str(folder)}), encoding="utf-8")
    partial.replace(path)


def sealed_copy(folder: Path, files: list[Path], target: Path, unchanged: bool) -> None:
    """Snapshot what only evaluators are given. Raises SetupError if it was edited too early."""
    if target.exists():
        return
    if not unchanged:
        raise SetupError(
            f"task.folder: {folder} was edited before its evaluator was first used; undo the edit or start a new study"
        )
    copy_files(folder, files, target)


def _pin(root: Path, folder: Path) -> Path:
    owner = os.environ.get(_OWNER, "")
    if not owner:
        return root / "pins" / "none"
    return root / "pins" / f"{hashlib.sha256(f'{owner}|{folder}'.encode()).hexdigest()[:24]}.json"
