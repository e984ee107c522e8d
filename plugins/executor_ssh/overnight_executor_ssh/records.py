"""Records: what has to be remembered of each job, written durably before the world is changed."""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from overnight_jobs.far.files import slug


@dataclass(frozen=True)
class Record:
    """One job. host: the name of the one that was chosen. sent: its start was asked for there; started:
    and answered. job: see overnight_jobs.orders.plain. ended: its last observation, once that was final.
    given_up: nobody waits for it any more, but its host could not be told so."""

    token: str
    owner: str
    host: str
    job: dict[str, Any] = field(default_factory=dict)
    sent: bool = False
    started: bool = False
    ended: dict[str, Any] = field(default_factory=dict)
    given_up: bool = False

    @property
    def slug(self) -> str:
        """The job's name on its host."""
        return slug(self.token)

    @property
    def gpus(self) -> int:
        """How many GPUs it holds."""
        return int(self.job["resources"]["gpus"])

    @property
    def takes_a_place(self) -> bool:
        """Whether it runs, or may do so."""
        return not self.ended and not self.given_up


class Records:
    """The records below one folder. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._known: dict[str, Record] | None = None

    def read(self, token: str) -> Record | None:
        """What is remembered of a job, None = nothing."""
        with self._lock:
            return self._all().get(token)

    def all(self) -> list[Record]:
        """Every record, in the order of their tokens."""
        with self._lock:
            return [record for _, record in sorted(self._all().items())]

    def write(self, record: Record) -> None:
        """Remember it. Raises OSError."""
        with self._lock:
            self._all()
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._path(record.token)
            partial = path.with_suffix(".partial")
            with partial.open("w", encoding="utf-8") as file:
                json.dump(asdict(record), file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            self._all()[record.token] = record

    def change(self, token: str, **changes: Any) -> Record | None:
        """Change what is remembered of a job; None if it is forgotten already. Raises OSError."""
        with self._lock:
            record = self.read(token)
            if record is None:
                return None
            changed = replace(record, **changes)
            if changed != record:
                self.write(changed)
            return changed

    def forget(self, token: str) -> None:
        """The job is gone, and with it its record and what was mirrored of it."""
        with self._lock:
            with contextlib.suppress(FileNotFoundError):
                self._path(token).unlink()
            shutil.rmtree(self.mirror(token), ignore_errors=True)
            self._all().pop(token, None)

    def mirror(self, token: str) -> Path:
        """Where outputs of a running job are kept in case its host is lost."""
        return self._folder / f"{slug(token)}.mirror"

    def _path(self, token: str) -> Path:
        return self._folder / f"{slug(token)}.json"

    def _all(self) -> dict[str, Record]:
        if self._known is None:
            self._known = {record.token: record for record in self._load()}
        return self._known

    def _load(self) -> Iterator[Record]:
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            with contextlib.suppress(OSError, ValueError, TypeError):
                yield Record(**json.loads(path.read_text(encoding="utf-8")))
