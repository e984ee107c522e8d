"""The table of faults: what each test of this folder injected, and what it cost."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest


@dataclass
class Tally:
    """What one fault did to the studies it was injected into.

    injected: how often. lost: finished work that is gone, or trials that never ended. repeated:
    work done twice. orphaned: processes or machines left behind. overspent: US dollars (or
    seconds, where time is the budget) beyond a limit.
    """

    injected: int = 0
    lost: int = 0
    repeated: int = 0
    orphaned: int = 0
    overspent: float = 0.0


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Counts for the table; at the end of the test everything but `injected` must be nought."""
    found = Tally()
    yield found
    request.node.user_properties.append(("tally", asdict(found)))
    assert found.injected > 0, "the fault was never injected"
    spoilt = {name: value for name, value in asdict(found).items() if name != "injected" and value}
    assert not spoilt, f"the promise is broken: {spoilt}"


@pytest.fixture(autouse=True)
def _named(request: pytest.FixtureRequest) -> None:
    """Every test here names its faults, for the table."""
    marks = [mark.args for mark in request.node.iter_markers("fault")]
    assert marks, "a test of tests/faults needs @pytest.mark.fault(number, name, promise)"
    request.node.user_properties.append(("faults", [list(args) for args in marks]))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line a fault: `make faults` shows it."""
    tests: dict[str, dict[str, Any]] = {}
    for outcome in ("", "passed", "failed", "error"):  # "" holds the teardowns, where tallies are read
        for report in terminalreporter.stats.get(outcome, []):
            found = tests.setdefault(report.nodeid, {"broken": False, "ran": False})
            found["broken"] |= outcome in ("failed", "error")
            found["ran"] |= getattr(report, "when", "") == "call"
            found.update(dict(getattr(report, "user_properties", [])))
    rows: dict[int, tuple[str, str, Tally, bool]] = {}
    for test in tests.values():
        for number, name, promise in test.get("faults", []) if test["ran"] else []:
            _, _, tally, broken = rows.get(number, (name, promise, Tally(), False))
            # A test without a tally is one injection; its assertions are the promise.
            for field, value in test.get("tally", {"injected": 1}).items():
                setattr(tally, field, getattr(tally, field) + value)
            rows[number] = (name, promise, tally, broken or test["broken"])
    if rows:
        _print(terminalreporter, rows)


def _print(terminalreporter: Any, rows: dict[int, tuple[str, str, Tally, bool]]) -> None:
    terminalreporter.section("faults")
    heads = list(asdict(Tally()))
    terminalreporter.write_line(f"{'':4} {'fault':56} {'promise':44} " + " ".join(f"{head:>9}" for head in heads))
    for number, (name, promise, tally, broken) in sorted(rows.items()):
        cells = " ".join(f"{value:>9g}" for value in asdict(tally).values())
        terminalreporter.write_line(f"{number:>3}. {name:56} {promise:44} {cells}{'  BROKEN' if broken else ''}")
    sums = " ".join(f"{sum(asdict(row[2])[head] for row in rows.values()):>9g}" for head in heads)
    terminalreporter.write_line(f"{'':4} {f'{len(rows)} faults':101} {sums}")
