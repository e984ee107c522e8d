"""Job folders: made whole or not at all, read back after a crash, emptied into the study."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core import Job, Manifest


def slug(token: str) -> str:
    """A folder name for a token: readable, and unique by a digest."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", token)[-80:]
    return f"{readable}-{hashlib.sha256(token.encode()).hexdigest()[:8]}"


def make(folder: Path, job: Job, order: dict[str, Any]) -> None:
    """Create a job's folder with its files and orders, by rename. Raises OSError."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, source in job.files.items():
        target = inside(partial, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
    write(partial / "job.json", {"token": job.token, "owner": job.owner, "outputs": list(job.outputs)})
    write(partial / "order.json", order)
    partial.rename(folder)


def read(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is none (yet)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON by rename."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)


def bring(folder: Path, outputs: Iterable[str], dest: Path) -> Manifest:
    """Copy outputs and log into `dest`, which is replaced whole. Links out of the folder stay behind."""
    partial = dest.with_name(f"{dest.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in dict.fromkeys([*outputs, "log.txt"]):
        source = inside(folder, name)
        if not source.exists() or not source.resolve().is_relative_to(folder.resolve()):
            continue
        target = inside(partial, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_link_or_copy, symlinks=True)
        else:
            _link_or_copy(str(source), str(target))
    shutil.rmtree(dest, ignore_errors=True)
    partial.rename(dest)
    files = sorted(path for path in dest.rglob("*") if path.is_file() and not path.is_symlink())
    return Manifest({str(path.relative_to(dest)): _digest(path) for path in files})


def inside(folder: Path, name: str) -> Path:
    """A path below the folder. Raises ValueError for a name that leads out of it."""
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder) or path == folder:
        raise ValueError(f"{name!r} is not a path inside the job folder")
    return path


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
