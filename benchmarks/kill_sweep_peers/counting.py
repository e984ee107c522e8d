"""Counts of one study, from the witness and from what the system recorded."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Attempt:
    """One attempt at training or evaluating a trial, as the work itself told it. at: of the monotonic clock."""

    trial: int
    phase: str
    key: str
    start: float
    last: float
    ended: bool = False


def attempts(witness: Path) -> list[Attempt]:
    """Every attempt in the witness file, by start."""
    found: dict[str, Attempt] = {}
    lines = witness.read_text(encoding="utf-8").splitlines() if witness.exists() else []
    for line in map(json.loads, lines):
        known = found.setdefault(
            line["attempt"], Attempt(line["trial"], line["phase"], line["key"], line["at"], line["at"])
        )
        known.last = line["at"]
        known.ended |= line["event"] == "end"
    return sorted(found.values(), key=lambda attempt: attempt.start)


def repeated(work: list[Attempt], by_settings: bool = False) -> int:
    """Attempts that began after another attempt at the same work had ended."""
    groups: dict[object, list[Attempt]] = defaultdict(list)
    for attempt in work:
        if by_settings and attempt.phase == "train":
            groups[attempt.key].append(attempt)
        elif not by_settings:
            groups[attempt.trial, attempt.phase].append(attempt)
    return sum(
        any(other.ended and other.last <= attempt.start for other in group)
        for group in groups.values()
        for attempt in group
    )


def repeated_after_record(work: list[Attempt], recorded: dict[int, float]) -> int:
    """Training attempts at a trial that began after the system was seen to have it in its record. recorded: when."""
    return sum(a.phase == "train" and a.start > recorded.get(a.trial, float("inf")) for a in work)


def thrown_away(work: list[Attempt], final: dict[int, float]) -> tuple[float, float]:
    """Seconds of attempts that gave the final record nothing, and seconds of all attempts."""
    last = {(a.trial, a.phase): a for a in work if a.ended and a.trial in final}
    useful = sum(a.last - a.start for a in last.values())
    total = sum(a.last - a.start for a in work)
    return total - useful, total
