"""What was logged of one W&B run, whether it was read from a file or received by the server."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class LoggedRun:
    """One run: who it is, and what the client said of it."""

    id: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None
    preempting: bool = False
