"""Slurm's commands: run one in a clean environment and in bounded time, and tell its errors apart."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from core import Ambiguous, OutOfStock, SetupError
from overnight_executor_slurm import listing

# What the commands need of the controller's environment. SLURM_* of an allocation that the
# controller itself runs in would be taken for options of the job.
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LD_LIBRARY_PATH", "SLURM_CONF", "SLURM_CLUSTERS")

# sbatch says so, and the job may all the same have been created.
_DOUBTS = (
    "timed out",
    "zero bytes",
    "communication",
    "transport endpoint",
    "message receive",
    "connection reset",
    "broken pipe",
    "unexpected message",
)
_DOWN = ("unable to contact slurm controller", "connect failure", "standby mode", "connection refused")
_FULL = (
    "violates accounting/qos policy",
    "limit exceeded",
    "maximum number of jobs",
    "temporarily unable",
    "required partition not available",
    "requested partition configuration not available",
    "requested nodes are busy",
    "slurm controller is busy",
    "draining",
)


class SlurmError(RuntimeError):
    """A Slurm command failed, for a reason that may pass."""


class Slurm:
    """One cluster as its commands show it. Its listings are shared by all who ask at about the same time."""

    def __init__(self, timeout_s: float, every_s: float, gres_name: str) -> None:
        self._timeout_s, self._every_s, self._gres_name = timeout_s, every_s, gres_name
        self._asking = threading.Lock()
        self._queue: tuple[float, list[listing.Record]] = (float("-inf"), [])
        self._nodes: tuple[float, list[listing.Node]] = (float("-inf"), [])

    def queue(self, *, fresh: bool = False) -> list[listing.Record]:
        """My jobs, those that ended not long ago too. fresh: as they are now, not some seconds ago.
        Raises SlurmError."""
        asked = time.monotonic()
        with self._asking:
            since, known = self._queue
            if since >= asked or (not fresh and asked - since < self._every_s):
                return known
            since = time.monotonic()
            text = self.run(
                "squeue", "--noheader", "--states=all", f"--user={os.getuid()}", f"--format={listing.QUEUE_FORMAT}"
            )
            self._queue = since, list(listing.records(text))
            return self._queue[1]

    def forget(self) -> None:
        """What was listed is no longer true: something was submitted or cancelled."""
        with self._asking:
            self._queue = float("-inf"), []

    def nodes(self, max_age_s: float = 15.0) -> list[listing.Node]:
        """All nodes, once per partition. Raises SlurmError."""
        with self._asking:
            if time.monotonic() - self._nodes[0] > max_age_s:
                text = self.run("sinfo", "--noheader", "--Node", f"--format={listing.NODES_FORMAT}")
                self._nodes = time.monotonic(), list(listing.nodes(text, self._gres_name))
            return self._nodes[1]

    def submit(self, options: Sequence[str], script: Path, env: Mapping[str, str]) -> str:
        """Slurm's id of the new job, which sees `env`. Raises Ambiguous, OutOfStock, SetupError, SlurmError."""
        try:
            said = self.run("sbatch", "--parsable", *options, str(script), env=env)
        except subprocess.TimeoutExpired as error:
            raise Ambiguous(f"sbatch did not answer within {self._timeout_s:g} s") from error
        except Failed as error:
            raise refusal(error) from error
        job = said.strip().splitlines()[-1].partition(";")[0] if said.strip() else ""
        if not job.isdigit():
            raise Ambiguous(f"sbatch did not say which job it made, but {said.strip()[:200]!r}")
        return job

    def would_take(self, options: Sequence[str]) -> bool:
        """Whether a job with these options could ever run. Raises SetupError for options that this
        cluster or account does not have, SlurmError."""
        try:
            self.run("sbatch", "--test-only", *options, "--wrap=true")
        except Failed as error:
            if "node configuration is not available" in error.said:
                return False
            found = refusal(error)
            if isinstance(found, OutOfStock):
                return True
            raise (SlurmError(str(found)) if isinstance(found, Ambiguous) else found) from error
        return True

    def cancel(self, jobs: Sequence[str], signal: str | None = None) -> None:
        """End jobs, or send a signal to their steps; jobs that are gone are no error. Raises SlurmError."""
        try:
            self.run("scancel", *([f"--signal={signal}"] if signal else []), *jobs)
        except Failed as error:
            if "invalid job" not in error.said.lower() and "already" not in error.said.lower():
                raise
        finally:
            self.forget()

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """What a command prints. Raises Failed, SetupError where it is not installed or knows no
        cluster, and for sbatch TimeoutExpired (all others: SlurmError)."""
        clean = {name: os.environ[name] for name in _KEPT if name in os.environ}
        try:
            done = subprocess.run(
                command,
                env={**(env or {}), **clean},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._timeout_s,
                check=False,
            )
        except FileNotFoundError as error:
            raise SetupError(
                f"executor slurm: there is no {command[0]} on this machine's PATH; run Overnight on a login node of "
                "the cluster, or install Slurm's client commands"
            ) from error
        except subprocess.TimeoutExpired as error:
            if command[0] == "sbatch" and "--test-only" not in command:
                raise
            raise SlurmError(f"{command[0]} did not answer within {self._timeout_s:g} s") from error
        if "could not establish a configuration source" in done.stderr.lower():
            raise SetupError(
                "executor slurm: Slurm's commands know no cluster: set SLURM_CONF to the path of its slurm.conf, or "
                "run Overnight on a login node"
            )
        if done.returncode != 0:
            raise Failed(command[0], done.returncode, (done.stderr or done.stdout).strip())
        return done.stdout


class Failed(SlurmError):
    """A command ended with an error. code: its exit code. said: its own words."""

    def __init__(self, program: str, code: int, said: str) -> None:
        super().__init__(f"{program} failed with exit code {code}: {said[-500:] or 'it said nothing'}")
        self.program, self.code, self.said = program, code, said


def refusal(error: Failed) -> Exception:
    """What a failed sbatch means: nothing was started for a while or for ever, or nobody knows."""
    said = error.said.lower()
    if any(part in said for part in _FULL):
        return OutOfStock(f"Slurm takes no job just now: {error.said[-300:]}")
    if any(part in said for part in _DOWN):
        return SlurmError(str(error))
    if error.code < 0 or not said or any(part in said for part in _DOUBTS):
        return Ambiguous(str(error))
    return SetupError(
        f"Slurm refuses the job: {error.said[-400:]}; see executor.partition, account, qos, constraint, extra "
        "and `resources`"
    )
