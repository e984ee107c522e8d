"""The client of an agent: what an executor asks of the machine that runs its jobs."""

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from core import Manifest
from overnight_jobs.manifest import Entry

_CHUNK = 1 << 20
_BATCH = 64 << 20


class FarError(Exception):
    """The far side answers with an error; it did nothing."""


class FarBusy(FarError):
    """There is no free GPU on that machine just now."""


class FarGone(Exception):
    """No whole answer came from the far side: what was asked for may have happened. Asking again is safe."""


class Transport(Protocol):
    """Carries one message there and one back."""

    def exchange(self, message: BinaryIO) -> BinaryIO:
        """Send a whole message (a file at its start), return the whole answer (likewise, to be closed
        by the caller). Raises FarGone; whatever else it raises stops the study."""
        ...


class FarSide:
    """One machine's agent. All calls may be repeated: the far side does nothing twice."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def facts(self) -> dict[str, Any]:
        """What the machine has: python, cpus, memory_gb, gpus (names), free_gpus, disk_free_gb."""
        return self._ask({"verb": "facts"})

    def environment(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Make an environment for jobs, once; returns how far it is, at once: state ("ready", "installing",
        "failed"), python, said, seconds. order: see overnight_jobs.far.install."""
        return self._ask({"verb": "environment", "order": dict(order)})

    def send(self, entries: Iterable[Entry]) -> int:
        """Bring files there that are not there yet; returns how many bytes travelled."""
        wanted = {entry.digest: entry for entry in entries}
        missing = self._ask({"verb": "missing", "digests": list(wanted)})["missing"]
        batch: list[Entry] = []
        sent = 0
        for entry in (wanted[digest] for digest in missing):
            batch.append(entry)
            if sum(each.size for each in batch) >= _BATCH:
                sent += self._put(batch)
                batch = []
        return sent + (self._put(batch) if batch else 0)

    def start(self, order: Mapping[str, Any]) -> None:
        """Start a job once; see overnight_jobs.far.keeper.Keeper.start. Raises FarBusy."""
        self._ask({"verb": "start", "order": dict(order)})

    def there(self, slug: str) -> bool:
        """Whether the job was started there."""
        return bool(self._ask({"verb": "find", "slug": slug})["there"])

    def poll(self, slugs: Sequence[str]) -> list[dict[str, Any]]:
        """State, exit_code, reason, seconds and hardware of each job."""
        return list(self._ask({"verb": "poll", "slugs": list(slugs)})["jobs"])

    def read(self, slug: str, stream: str, offset: int) -> bytes:
        """Bytes of a job's "log" or "metrics" from `offset` on, at most 1 MiB."""
        taken: list[bytes] = []
        self._ask(
            {"verb": "read", "slug": slug, "stream": stream, "offset": offset},
            lambda _, body: taken.append(body.read()),
        )
        return taken[0]

    def fetch(self, slug: str, dest: Path, names: Sequence[str] = ()) -> Manifest:
        """Bring a job's outputs (or only `names` of them) and its log into `dest`, which is replaced
        whole. Raises FarGone if any file is not what the far side says it is."""
        partial = dest.with_name(f"{dest.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)

        def unpack(head: dict[str, Any], body: BinaryIO) -> None:
            with tarfile.open(fileobj=body) as tar:
                tar.extractall(partial, filter="data")
            for name, digest in head["files"].items():
                if _digest(partial / name) != digest:
                    raise FarGone(f"{name} was changed on its way")

        head = self._ask({"verb": "pack", "slug": slug, "names": list(names)}, unpack)
        shutil.rmtree(dest, ignore_errors=True)
        partial.rename(dest)
        return Manifest(dict(head["files"]))

    def cancel(self, slug: str, token: str, grace_s: float) -> bool:
        """Stop a job and delete all of it; False while it is still going."""
        return bool(self._ask({"verb": "cancel", "slug": slug, "token": token, "grace_s": grace_s})["gone"])

    def reap(self, owner: str, live: Collection[str]) -> tuple[str, ...]:
        """Delete the jobs of `owner` that are not live; returns their tokens."""
        return tuple(self._ask({"verb": "reap", "owner": owner, "live": sorted(live)})["tokens"])

    # Inside.

    def _put(self, entries: Sequence[Entry]) -> int:
        with tempfile.TemporaryFile() as message:
            size = sum(entry.size for entry in entries)
            head = {"verb": "put", "blobs": [[entry.digest, entry.size] for entry in entries], "body": size}
            message.write(json.dumps(head).encode() + b"\n")
            for entry in entries:
                with entry.source.open("rb") as file:
                    shutil.copyfileobj(file, message, _CHUNK)
            self._exchange(message)
        return size

    def _ask(
        self, head: dict[str, Any], take: Callable[[dict[str, Any], BinaryIO], object] | None = None
    ) -> dict[str, Any]:
        with tempfile.SpooledTemporaryFile(_CHUNK) as message:
            message.write(json.dumps(head | {"body": 0}).encode() + b"\n")
            return self._exchange(message, take)  # type: ignore[arg-type]

    def _exchange(
        self, message: BinaryIO, take: Callable[[dict[str, Any], BinaryIO], object] | None = None
    ) -> dict[str, Any]:
        message.seek(0)
        with closing(self._transport.exchange(message)) as answer:
            try:
                head = json.loads(answer.readline())
                body = int(head["body"])
            except (ValueError, KeyError, TypeError) as error:
                raise FarGone(f"an answer that is none of the agent's: {error}") from None
            if error := head.get("error"):
                raise (FarBusy if error == "busy" else FarError)(str(head.get("said")))
            start = answer.tell()
            if answer.seek(0, os.SEEK_END) - start != body:
                raise FarGone("the answer was cut off")
            answer.seek(start)
            if take is not None:
                take(head, answer)
            return dict(head)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "absent"
