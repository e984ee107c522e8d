"""The folder of one job: what was intended, what was submitted, what it says of itself."""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from overnight_executor_slurm.listing import Record
from overnight_executor_slurm.states import Traces, Verdict
from overnight_jobs.far import files

_TAIL = 4000


class JobFolder:
    """Reads and writes the small files of a job's folder. They are the executor's only memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether it is there, whole."""
        return (self.path / "job.json").exists()

    @property
    def described(self) -> dict[str, Any]:
        """Token, owner and outputs."""
        return files.read(self.path / "job.json") or {}

    @property
    def identity(self) -> tuple[str, str]:
        """Owner and token; both empty where there is no job."""
        described = self.described
        return str(described.get("owner", "")), str(described.get("token", ""))

    @property
    def script(self) -> Path:
        """Its batch script."""
        return self.path / "batch.sh"

    @property
    def slurm_id(self) -> str | None:
        """Slurm's number of the job, as sbatch or the job itself said."""
        for name in ("slurm.json", "node.json"):
            if known := (files.read(self.path / name) or {}).get("job"):
                return str(known)
        return None

    @property
    def started(self) -> bool:
        """Whether a job has certainly been made for this folder."""
        return self.slurm_id is not None or any(
            (self.path / name).exists() for name in ("claimed", "supervisor.json", "exit.json", "slurm.log")
        )

    def among(self, listed: Iterable[Record]) -> list[Record]:
        """Slurm's records of it: two, where an answer was lost that was not."""
        name, path = f"-{self.path.name}", str(self.path)
        return [record for record in listed if record.folder == path and record.name.endswith(name)]

    def intend(self) -> None:
        """From now on a job may be made for it, whatever becomes of us."""
        files.write(self.path / "intent.json", {"at": time.time()})

    def intended_s_ago(self) -> float | None:
        """Seconds since sbatch was last called for it; None if never."""
        intent = files.read(self.path / "intent.json")
        return None if intent is None else max(0.0, time.time() - intent["at"])

    def submitted(self, slurm_id: str) -> None:
        """The job was made."""
        files.write(self.path / "slurm.json", {"job": slurm_id})

    def traces(self) -> Traces:
        """What it says of the job now."""
        # The end first: what the job wrote before it is there then, on this file system too.
        ended = files.read(self.path / "exit.json")
        return Traces(
            exists=self.exists,
            began=(self.path / "supervisor.json").exists(),
            ended=ended,
            whole=ended is not None and files.read(self.path / "result.json") is not None,
            cancelling=(self.path / "cancel.json").exists(),
            said=self._tail("slurm.log"),
        )

    @property
    def empty(self) -> bool:
        """Whether its supervisor has seen the last process of the job go, which is the last that it says."""
        return (files.read(self.path / "exit.json") or {}).get("gone") is True

    def outcome(self) -> tuple[Verdict, float] | None:
        """The final verdict that was reached before, and the seconds it ran."""
        known = files.read(self.path / "outcome.json")
        if known is None:
            return None
        return Verdict(known["state"], known["exit_code"], known["reason"], final=True), known["seconds"]

    def conclude(self, verdict: Verdict, seconds: float) -> None:
        """Keep a final verdict: Slurm forgets its jobs after minutes. The batch script's words become
        the log of a job that never came to have one."""
        if not self.exists:
            return
        log, said = self.path / "log.txt", self.path / "slurm.log"
        if not log.exists() and said.exists():
            shutil.copyfile(said, log)
        told = {"state": verdict.state, "exit_code": verdict.exit_code, "reason": verdict.reason, "seconds": seconds}
        files.write(self.path / "outcome.json", told)

    def asked(self) -> float | None:
        """The grace in seconds with which it was asked to end; None if it was not."""
        known = files.read(self.path / "cancel.json")
        return None if known is None else float(known["grace_s"])

    def ask(self, grace_s: float) -> None:
        """It is to end, its supervisor allowing it this grace."""
        if self.exists:
            files.write(self.path / "cancel.json", {"grace_s": grace_s})

    def node(self) -> str:
        """The node it runs or ran on; empty while it has none."""
        return str((files.read(self.path / "node.json") or {}).get("node", ""))

    def order(self) -> dict[str, Any]:
        """What its supervisor is told."""
        return files.read(self.path / "order.json") or {}

    def delete(self) -> None:
        """Nothing is left of it; a job that comes late finds no folder and ends."""
        if tmp := self.order().get("tmp"):
            shutil.rmtree(tmp, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)
        if self.path.exists():  # something wrote in it meanwhile
            shutil.rmtree(self.path)

    def _tail(self, name: str) -> str:
        try:
            with (self.path / name).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _TAIL))
                return file.read().decode(errors="replace")
        except OSError:
            return ""
