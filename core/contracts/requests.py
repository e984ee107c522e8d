"""Requests: proposals that somebody outside queues for a study, as files in its directory.

A policy that takes them says so with the class attribute `takes_requests = True`.
"""

import json
import os
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from core.contracts.proposal import Proposal
from core.contracts.space import Scalar
from core.contracts.trial import Trial

FOLDER = "requests"
_END = "end"
_LARGEST = 2_000_000  # bytes of a file that are read


@dataclass(frozen=True)
class Request:
    """One queued proposal. id: sorts by the time at which it was queued; a trial's rationale ends with
    it in brackets, which is how the journal says that it was taken. patch: to the task's own program."""

    id: str
    params: dict[str, Scalar] = field(default_factory=dict)
    patch: str | None = None
    parent: int | None = None
    why: str = ""

    def proposal(self) -> Proposal:
        """As a policy proposes it."""
        why = " ".join(self.why.split())[:300]
        return Proposal(dict(self.params), self.patch, self.parent, rationale=f"agent: {why} [{self.id}]")

    def is_in(self, trials: Collection[Trial]) -> bool:
        """Whether one of these trials is it."""
        return any(trial.proposal.rationale.endswith(f"[{self.id}]") for trial in trials)


def queue_request(
    directory: Path, params: dict[str, Scalar], patch: str | None = None, parent: int | None = None, why: str = ""
) -> Request:
    """Queue a proposal durably: it is there, whole, when this returns. Raises OSError."""
    request = Request(f"{time.time_ns():019d}-{secrets.token_hex(3)}", dict(params), patch, parent, why)
    content = {"params": request.params, "patch": patch, "parent": parent, "why": why}
    _write(directory / FOLDER / f"{request.id}.json", json.dumps(content))
    return request


def queued_requests(directory: Path) -> list[Request]:
    """All that was ever queued, oldest first; files that are no requests are left out."""
    found = []
    for path in sorted((directory / FOLDER).glob("*.json")):
        try:
            if path.stat().st_size > _LARGEST:
                continue
            told = json.loads(path.read_text(encoding="utf-8"))
            params, patch, parent = dict(told["params"]), told["patch"], told["parent"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if (patch is None or isinstance(patch, str)) and (parent is None or isinstance(parent, int)):
            found.append(Request(path.stem, params, patch, parent, str(told.get("why", ""))))
    return found


def request_end(directory: Path) -> None:
    """Say that no more proposals will come: the study ends once what is queued was tried."""
    _write(directory / FOLDER / _END, "")


def end_requested(directory: Path) -> bool:
    """Whether `request_end` was called."""
    return (directory / FOLDER / _END).exists()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
