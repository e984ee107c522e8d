"""A plugin with an executor whose jobs only take time: any number of slots, for measuring the controller."""

import hashlib
import json
import random
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

from core import Caps, Handle, Job, Manifest, Observation, Offer, PluginConfig, Reaped, Resources, hookimpl

overnight_contract = 1


class SimulatedConfig(PluginConfig):
    """slots: at once. train_s, evaluate_s: mean length of a job, each half to one and a half times it."""

    slots: int = 64
    train_s: float = 20.0
    evaluate_s: float = 2.0


class SimulatedExecutor:
    """Keeps jobs as times in memory. busy: (from, to) of each slot's work, monotonic seconds.

    grow: a hook for the benchmark: changes what `caps` says while a study runs.
    """

    Config = SimulatedConfig
    made: ClassVar["list[SimulatedExecutor]"] = []  # the benchmark looks at the one that its study built

    def __init__(self, config: SimulatedConfig, workspace: Path) -> None:
        self.slots, self._config = config.slots, config
        self._jobs: dict[str, tuple[Job, float, float]] = {}
        self._lock, self._dice = threading.Lock(), random.Random(1)
        self.busy: list[tuple[float, float]] = []
        self.made.append(self)

    def caps(self) -> Caps:
        return Caps(slots=self.slots, elastic=True)

    def offers(self, request: Resources) -> Sequence[Offer]:
        return [Offer("a simulated machine")]

    def submit(self, job: Job, token: str) -> Handle:
        training = "/train/" in token
        mean = self._config.train_s if training else self._config.evaluate_s
        now = time.monotonic()
        with self._lock:
            if token not in self._jobs:
                end = now + mean * self._dice.uniform(0.5, 1.5)
                self._jobs[token] = job, now, end
                self.busy.append((now, end))
        return Handle(token, token)

    def find(self, token: str) -> Handle | None:
        return Handle(token, token) if token in self._jobs else None

    def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        now, found = time.monotonic(), []
        for handle in handles:
            _, began, end = self._jobs[handle.token]
            state: Any = "succeeded" if now >= end else "running"
            found.append(Observation(handle.token, state, 0, seconds=min(now, end) - began, hardware="simulated"))
        return found

    def logs(self, handle: Handle, offset: int, stream: str = "log") -> tuple[bytes, int]:
        if stream == "log" or offset or time.monotonic() < self._jobs[handle.token][2]:
            return b"", offset
        rows = "".join(json.dumps({"step": n, "metrics": {"loss": 1 / n}}) + "\n" for n in range(1, 21))
        return rows.encode(), len(rows)

    def fetch(self, handle: Handle, dest: Path) -> Manifest:
        job = self._jobs[handle.token][0]
        dest.mkdir(parents=True, exist_ok=True)
        result: dict[str, Any] = {"status": "succeeded"}
        if "/train/" in job.token:
            (dest / "checkpoint").mkdir(exist_ok=True)
            (dest / "checkpoint" / "weights").write_bytes(b"w")
        elif "/prepare/" not in job.token:
            scores = [hashlib.sha256(f"{job.token}{n}".encode()).digest()[0] % 2 for n in range(60)]
            rows = [json.dumps({"id": str(n), "score": score}) for n, score in enumerate(scores)]
            (dest / "evaluation.jsonl").write_text("\n".join(rows) + "\n")
            split, value = job.token.split("/")[2], sum(scores) / len(scores)
            figures = {"value": value, "n": 60, "low": max(0.0, value - 0.1), "high": min(1.0, value + 0.1)}
            result["evaluation"] = {"split": split, "metric": "hit_rate", "interval": "wilson", **figures}
        (dest / "result.json").write_text(json.dumps(result))
        (dest / "log.txt").write_text("")
        return Manifest({})

    def cancel(self, handle: Handle, grace_s: float) -> None:
        return None

    def reap(self, owner: str, live: Collection[str]) -> Reaped:
        return Reaped()


@hookimpl
def executors() -> dict[str, str]:
    return {"simulated": "simulated_executor:SimulatedExecutor"}
