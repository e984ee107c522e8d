"""Small files of a job folder: names that stay inside, JSON that is whole or absent.

Standard library only: loaded by path on the far side.
"""

# Loaded with every call of the agent: no pathlib where it can be helped.

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

# Where a job's streams stand in its folder.
STREAMS = {"log": "log.txt", "metrics": "metrics.jsonl"}


def slug(token: str) -> str:
    """A folder name for a token: readable, and unique by a digest."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", token)[-80:]
    return f"{readable}-{hashlib.sha256(token.encode()).hexdigest()[:8]}"


def inside(folder: Path, name: str) -> Path:
    """A path below the folder. Raises ValueError for a name that leads out of it."""
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder) or path == folder:
        raise ValueError(f"{name!r} is not a path inside the job folder")
    return path


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


def digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
