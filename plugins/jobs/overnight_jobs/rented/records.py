"""Records: what an executor of rented machines has to remember of each job, in the study's folder."""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core import Handle
from overnight_jobs.far.files import slug

_IN_FLIGHT_S = 60.0  # a request that nobody waits for any more is carried out by then or never


@dataclass(frozen=True)
class Record:
    """One job. machine: the provider's id, "" until its creation was answered. boot: which start of
    its server got the job, "" until then. made: unix seconds. notice: what
    a person must hear of the choice of machine. ended: the last observation, once it
    was final. job: see overnight_jobs.orders.plain."""

    token: str
    owner: str
    name: str
    hardware: str
    usd_per_hour: float
    made: float
    job: dict[str, Any] = field(default_factory=dict)
    machine: str = ""
    boot: str = ""
    notice: str = ""
    ended: dict[str, Any] = field(default_factory=dict)

    @property
    def handle(self) -> Handle:
        """What core is given; only once the machine's id is known."""
        return Handle(self.token, self.machine, {"notice": self.notice} if self.notice else {})

    @property
    def slug(self) -> str:
        """The job's name on the far side."""
        return slug(self.token)


class Records:
    """The records below one folder, each written durably and by rename before the world is changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, token: str) -> Record | None:
        """What is remembered of a job, None = nothing."""
        return self._load(self._path(token))

    def write(self, record: Record) -> None:
        """Remember it. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(record.token)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def forget(self, token: str) -> None:
        """The job is gone, and with it its record and what was mirrored of it. Raises OSError."""
        record = self.read(token)
        if record is not None and record.machine:
            self._note("known", record.machine)
        with contextlib.suppress(FileNotFoundError):
            self._path(token).unlink()
        shutil.rmtree(self.mirror(token), ignore_errors=True)

    def all(self) -> Iterator[Record]:
        """Every record, in the order of their tokens' names."""
        for path in sorted(self._folder.glob("*.job.json")) if self._folder.is_dir() else ():
            if record := self._load(path):
                yield record

    def known(self) -> set[str]:
        """Machines that some job had, by its record."""
        return {*self._noted("known"), *(record.machine for record in self.all())}

    def mirror(self, token: str) -> Path:
        """Where outputs of a running job are kept in case its machine is lost."""
        return self._folder / f"{slug(token)}.mirror"

    def doom(self, machine: str) -> None:
        """Remember for good that a machine is deleted of which the study's journal may not know: it has a
        bill. Raises OSError."""
        self._note("doomed", machine)

    def doomed(self) -> list[str]:
        """Every machine that was deleted so, once."""
        return self._noted("doomed")

    def suspect(self, record: Record) -> None:
        """Remember for good that a creation was not answered and that no listing shows its machine: it may
        have been there, and have ended by itself. Raises OSError."""
        until = min(time.time(), record.made + _IN_FLIGHT_S)
        self._note("suspects", f"{record.made} {until} {record.usd_per_hour}")

    def suspects(self) -> list[tuple[float, float, float]]:
        """Each such creation: between which unix seconds, at how many US dollars an hour."""
        found = [tuple(float(word) for word in line.split()) for line in self._noted("suspects")]
        return [(each[0], each[1], each[2]) for each in found if len(each) == 3]

    def secret(self, token: str) -> str:
        """The secret shared with the job's machine; made of one of the study's, which only its owner can read."""
        path = self._folder / "secret"
        try:
            base = path.read_text(encoding="ascii")
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                partial = path.with_name(f"secret.{secrets.token_hex(4)}")
                partial.touch(mode=0o600)
                partial.write_text(secrets.token_hex(32), encoding="ascii")
                os.link(partial, path)
            partial.unlink(missing_ok=True)
            base = path.read_text(encoding="ascii")
        return hmac.new(base.encode(), token.encode(), hashlib.sha256).hexdigest()

    def _note(self, what: str, line: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / what).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _noted(self, what: str) -> list[str]:
        """Its whole lines, each once: the last one is broken if its writer was killed."""
        try:
            text = (self._folder / what).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        lines = text.rpartition("\n")[0].splitlines()
        return list(dict.fromkeys(line for line in lines if line))

    def _path(self, token: str) -> Path:
        return self._folder / f"{slug(token)}.job.json"

    def _load(self, path: Path) -> Record | None:
        try:
            return Record(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def tag(owner: str) -> str:
    """A study's tag: a legal prefix of names at every provider, unique by a digest."""
    return "on-" + hashlib.sha256(owner.encode()).hexdigest()[:10]


def name(owner: str, token: str) -> str:
    """A machine's name: the study's tag and the job's own digest; a DNS label of 24 characters."""
    return f"{tag(owner)}-{hashlib.sha256(token.encode()).hexdigest()[:10]}"
