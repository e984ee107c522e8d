"""A sweep of whole studies: each reports its own end and takes no other with it, whatever launches them."""

import os
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException

from core.commands.show import End, show_comparison
from core.commands.sweep_output import tagged
from core.commands.sweep_records import Beginning, Record, Records, Sweep
from core.commands.sweep_stop import heeding, stopping_all
from core.errors import EXIT_CODES, OvernightError, StudyStopped, UsageError
from core.journal.store import FILENAME
from core.study.launch import read_facts


@dataclass(frozen=True)
class Launch:
    """What a study is told of the process that launched the sweep: launchers carry it into others, also
    on other machines. given: the overrides of the whole sweep, so that only what differs is shown.
    """

    given: tuple[str, ...]
    host: str
    pid: int
    session: int

    @classmethod
    def here(cls, given: Sequence[str]) -> "Launch":
        """This process is the one."""
        return cls(tuple(given), socket.gethostname(), os.getpid(), os.getsid(0))

    @property
    def alone(self) -> bool:
        """Whether the study runs in that very process, one after the other."""
        return (self.host, self.pid) == (socket.gethostname(), os.getpid())


def run_study(run: Callable[[bool, bool], End], launch: Launch) -> int:
    """Run one study of a sweep and record how it ended; only what ends a whole process is raised.

    run(alone, again) runs it. alone: no other study shares its terminal. again: its launcher started
    it before and starts it once more (a requeued job).
    """
    config = HydraConfig.get()
    number, alone = int(config.job.num), launch.alone
    records = Records(Path(config.sweep.dir).absolute())
    if records.asked_to_stop():
        return 0  # that it never began is said at the end of the sweep
    again = records.find(number) is not None
    words = " ".join(word for word in config.overrides.task if word not in launch.given)
    directory = str(config.runtime.output_dir)
    records.write(Record(number, directory, words))
    with tagged("" if alone else f"[{number}] "):
        print(f"\n[{number}] {words}" if alone else words or "begins", flush=True)
        with nullcontext() if alone else heeding(records, launch.session if launch.host == socket.gethostname() else 0):
            end = _guarded(lambda: run(alone, again))
    try:
        records.write(Record(number, directory, words, end.code, end.error))
    except OSError as error:
        print(f"[{number}] how it ended (exit code {end.code}) cannot be recorded: {error}", file=sys.stderr)
    if alone and end.code > 128:
        raise SystemExit(end.code)  # a signal ends the whole sweep, not one study of it
    return end.code


def run_sweep(launch: Callable[[], None]) -> int:
    """Launch a sweep; at its end compare its studies and say which failed. Returns the worst exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, where Hydra would print a traceback and exit
    stopped, broken = 0, ""
    try:
        with stopping_all():
            launch()
    except KeyboardInterrupt:
        stopped = 130
    except SystemExit as stop:
        stopped = stop.code if isinstance(stop.code, int) else 1
    except Exception as error:
        if Beginning.sweep is None or isinstance(error, HydraException) or not _begun(Beginning.sweep):
            if isinstance(error, OSError):
                raise
            raise UsageError(_one_line(error)) from error
        broken = f"{type(error).__name__}: {_one_line(error)}"
    sweep = Beginning.sweep
    if sweep is None:
        return stopped
    return max(stopped, _tell(sweep, broken))


def _begun(sweep: Sweep) -> bool:
    return bool(Records(sweep.directory).read())


def _tell(sweep: Sweep, broken: str) -> int:
    records = Records(sweep.directory).read()
    show_comparison([Path(record.directory) for record in records if _is_study(record)])
    bad = [record for record in records if record.code != 0]
    never = 0 if sweep.studies is None else sweep.studies - len(records)
    lines, resumable = [], False
    if broken:
        lines.append(f"error: the launcher {sweep.launcher} gave up ({broken})")
    if bad or never:
        lines.append(f"{len(bad) + never} of {sweep.studies or len(records)} studies of this sweep did not succeed:")
    for record in bad:
        state = read_facts(Path(record.directory)).state if _is_study(record) else ""
        lines += [f"  [{record.number}] {record.words}", f"      {_fate(record, state)}", f"      {record.directory}"]
        resumable |= state not in ("", "finished", "running")
    if never:
        lines.append(f"  {never} were never started: give their part of the command again")
    if resumable:
        lines.append(f"Continue those that were stopped with: python -m core resume {sweep.directory}")
    print("\n".join(lines), file=sys.stderr, end="\n" if lines else "")
    codes = [StudyStopped.exit_code if record.code is None else record.code for record in bad]
    return max([*codes, StudyStopped.exit_code if broken or never else 0])


def _fate(record: Record, state: str) -> str:
    if record.code is not None:
        said = record.error.partition("\n")[0] or EXIT_CODES.get(record.code, "")
        return f"exit code {record.code}: {said}"
    if state == "running":
        return f"it goes on without this process; see: python -m core status {record.directory}"
    return "its process was killed before it could say why" + ("" if state else ", before the study was made")


def _is_study(record: Record) -> bool:
    return (Path(record.directory) / FILENAME).exists()


def _guarded(run: Callable[[], End]) -> End:
    try:
        return run()
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
        return End(error.exit_code, str(error))
    except KeyboardInterrupt:
        return End(130, "interrupted (SIGINT)")
    except MemoryError:
        print("error: memory is short", file=sys.stderr)
        return End(StudyStopped.exit_code, "memory is short")
    except Exception as error:  # noqa: BLE001 - whatever it is must not end the sweep's other studies
        traceback.print_exc()
        return End(OvernightError.exit_code, f"{type(error).__name__}: {_one_line(error)}")


def _one_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
