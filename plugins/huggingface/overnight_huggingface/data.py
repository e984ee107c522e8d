"""Datasets: which settings name local files, and errors for relative paths and columns that are not there."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from core import SetupError


def is_local(data: str) -> bool:
    """Whether `task.data` names a file or folder rather than a hub dataset (owner/name)."""
    return Path(data).expanduser().exists() or data.startswith(("/", ".", "~")) or data.count("/") != 1


def remembered(cache: Path, data: str, key: Callable[[], str]) -> str:
    """`key()`, which names what was made of the data by its content. Where the data cannot be read, as in
    a sandboxed training, from which the held-out part of it is kept: what it was when it could be."""
    if not is_local(data):
        return key()
    asked = f"{os.environ.get('OVERNIGHT_OWNER', '')}|{Path(data).expanduser()}"
    note = cache / "keys" / hashlib.sha256(asked.encode()).hexdigest()[:24]
    if not Path(data).expanduser().exists() and note.is_file():
        return note.read_text(encoding="utf-8")
    found = key()
    if not note.is_file() or note.read_text(encoding="utf-8") != found:
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_suffix(f".partial-{os.getpid()}")
        partial.write_text(found, encoding="utf-8")
        partial.replace(note)
    return found


def local_paths(**settings: str | None) -> dict[str, Path]:
    """Setting → file or folder, of those that name one of this machine's; see core.contracts.HasLocalInputs."""
    found = {name: Path(value).expanduser() for name, value in settings.items() if value}
    return {name: path for name, path in found.items() if path.is_absolute() and path.exists()}


def need_whole_path(path: str, setting: str) -> None:
    """Raises SetupError for a relative path to something that exists: jobs run in folders of their
    own, and a study may be resumed from anywhere."""
    place = Path(path).expanduser()
    if place.exists() and not place.is_absolute():
        raise SetupError(
            f"{setting}: {path} is relative, but jobs run in folders of their own; give the whole path, "
            f"{setting}={place.absolute()}"
        )


def need_columns(there: Iterable[object], columns: Mapping[str, str], where: str, also: str = "") -> None:
    """Raises SetupError, with the nearest name there is, for the first setting whose column is missing.

    columns: setting → column. where: the file, or file and row. also: more for the message's end.
    """
    known = [str(name) for name in there]
    for setting, column in columns.items():
        if column not in known:
            near = get_close_matches(column, known, 1, 0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            names = ", ".join(name[:30] for name in known)
            raise SetupError(f"{setting}: {where} has no column {column!r}.{hint} It has: {names}{also}")
