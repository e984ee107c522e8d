"""The manifest of a job: each of its files by path, digest and size, hashed once while it stays as it is."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from overnight_jobs.far.files import digest


@dataclass(frozen=True)
class Entry:
    """One file. source: where it stands here. size: bytes. mode: permission bits."""

    source: Path
    digest: str
    size: int
    mode: int = 0o644


class Hasher:
    """Digests of local files; a file that has not changed is not read again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self._lock = threading.Lock()

    def entry(self, path: Path) -> Entry:
        """A file's entry. Raises OSError."""
        stat = path.stat()
        print_ = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            known = self._known.get(path)
        if known is None or known[0] != print_:
            known = (print_, digest(path))
            with self._lock:
                self._known[path] = known
        return Entry(path, known[1], stat.st_size, stat.st_mode & 0o777)

    def manifest(self, files: Mapping[str, Path]) -> dict[str, Entry]:
        """Path in the job folder → entry; folders are walked, links followed. Raises OSError."""
        found: dict[str, Entry] = {}
        for name, source in files.items():
            if source.is_dir():
                for path in sorted(source.rglob("*")):
                    if path.is_file():
                        found[f"{name}/{path.relative_to(source)}"] = self.entry(path)
            else:
                found[name] = self.entry(source)
        return found
