"""Job folders: made whole or not at all, read back after a crash, emptied into the study."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core import Job, Manifest
from overnight_jobs.far.files import STREAMS, digest, inside, write


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


def read_stream(folder: Path, stream: str, offset: int) -> tuple[bytes, int]:
    """Bytes of a job's "log" or "metrics" from `offset` on, at most 1 MiB, and the next offset."""
    try:
        with (folder / STREAMS[stream]).open("rb") as file:
            file.seek(offset)
            data = file.read(1 << 20)
    except FileNotFoundError:
        return b"", offset
    return data, offset + len(data)


def bring(folder: Path, outputs: Iterable[str], dest: Path) -> Manifest:
    """Copy outputs and log into `dest`, which is replaced whole. Links become the files they lead to; those out of
    the folder, links to folders, and what is no file (a socket, a pipe) stay behind."""
    partial = dest.with_name(f"{dest.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in dict.fromkeys([*outputs, "log.txt"]):
        source = inside(folder, name)
        if not source.exists() or not source.resolve().is_relative_to(folder.resolve()):
            continue
        if source.is_dir():
            inside(partial, name).mkdir(parents=True, exist_ok=True)
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            found = path.resolve()
            if path.is_file() and found.is_relative_to(folder.resolve()):  # regular files, or links to some in here
                target = partial / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(str(found), str(target))
    shutil.rmtree(dest, ignore_errors=True)
    partial.rename(dest)
    files = sorted(path for path in dest.rglob("*") if path.is_file())
    return Manifest({str(path.relative_to(dest)): digest(path) for path in files})


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
