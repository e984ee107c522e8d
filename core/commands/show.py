"""Shows a study to a person: the live view while it runs, summary and report at its end."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.console import open_console, print_comparison, print_summary
from core.errors import OvernightError
from core.journal.facts import StudyFacts
from core.report import write_report
from core.study.launch import Outcome, read_facts
from core.study.observer import Observer


@dataclass(frozen=True)
class End:
    """How a shown study ended. code: see core.errors.EXIT_CODES. error: what was printed of it, or ""."""

    code: int = 0
    error: str = ""


def run_shown(kind: str, run: Callable[[Sequence[Observer]], Outcome]) -> End:
    """Run a study under a console of that kind, write its report, print its summary.

    Errors that a person can act on are printed, not raised.
    """
    try:
        with open_console(kind) as watcher:
            outcome = run([watcher])
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
        return End(error.exit_code, str(error))
    report_lines = make_report(outcome.facts)
    if kind != "quiet":
        print_summary(outcome.facts)
        for line in (*report_lines, *outcome.notes):
            print(line)
    if outcome.error:
        print(f"error: {outcome.error}", file=sys.stderr)
    if outcome.facts.state != "finished":
        print(f"Continue with: python -m core resume {outcome.facts.study.directory}", file=sys.stderr)
    return End(outcome.exit_code, outcome.error)


def make_report(facts: StudyFacts) -> list[str]:
    """Write the report files; returns lines that say where they are, or why not."""
    directory = facts.study.directory
    try:
        write_report(facts, directory)
    except Exception as error:  # noqa: BLE001 - a report can be remade at any time, a study cannot
        return [
            f"The report could not be written ({type(error).__name__}: {error}); "
            f"make it later with: python -m core report {directory}"
        ]
    return [f"Report: {directory / 'report.html'}"]


def show_comparison(directories: Sequence[Path]) -> None:
    """Print one line per study of a sweep; a directory without a journal is named, not skipped."""
    found = []
    for directory in directories:
        try:
            found.append(read_facts(directory))
        except OvernightError as error:
            print(f"not compared: {error}", file=sys.stderr)
    if found:
        print_comparison(found)
