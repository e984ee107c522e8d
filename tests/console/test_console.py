"""The terminal: the same facts live, plain and as JSON, and nothing that a trial says can harm it."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from core.console import comparison_json, open_console, print_comparison, print_status, print_summary, status_json
from core.console.live import LiveConsole
from core.console.plain import PlainConsole
from core.contracts import Proposal
from core.journal import events as ev
from core.journal.events import Entry
from core.journal.facts import RunningJob
from factories import facts, finished, trial


def entry(event: ev.Event) -> Entry:
    return Entry(1, 0.0, 61.0, event)


def printed(show, *arguments: object) -> str:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    show(*arguments, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_summary_has_the_verdict_both_scores_with_n_and_where_the_model_is(tmp_path: Path) -> None:
    text = printed(print_summary, finished(tmp_path))
    said = ("+0.270", "not confirmed", "baseline", "0.160", "trial 11 (leading)", "0.430", "1000", f"{tmp_path}/best")
    for words in said:
        assert words in text
    assert "1 failed" in text
    assert len(text.splitlines()) < 16


def test_status_of_an_interrupted_study_says_how_to_go_on(tmp_path: Path) -> None:
    text = printed(print_status, facts(tmp_path, trial(0, 80), state="interrupted"))
    assert f"python -m core resume {tmp_path}" in text


def test_json_says_the_same_and_is_strict(tmp_path: Path) -> None:
    found = json.loads(json.dumps(status_json(finished(tmp_path)), allow_nan=False))
    assert found["incumbent"] == 11
    assert found["verdict"]["confirmed"] is False
    assert len(found["trials"]) == 13
    (row,) = json.loads(json.dumps(comparison_json([finished(tmp_path)]), allow_nan=False))
    assert row["gain"]["gain"] == pytest.approx(0.27)
    assert "+0.270 [" in printed(print_comparison, [finished(tmp_path)])


def test_plain_lines_carry_time_and_no_control_characters(tmp_path: Path) -> None:
    out = io.StringIO()
    console = PlainConsole(out)
    ended = ev.TrialEnded(1, "failed", "boom \x1b[2J\nsecond line", "exception")
    console.recorded(entry(ended), facts(tmp_path, trial(0, 80), trial(1, 90)))
    (line,) = out.getvalue().splitlines()
    assert line.startswith("  1:01  trial 1: failed (exception): boom")
    assert "\x1b" not in line


def test_progress_lines_are_rare_but_the_last_step_is_always_shown(tmp_path: Path) -> None:
    out = io.StringIO()
    console = PlainConsole(out)
    for step in range(1, 101):
        console.progressed(1, "train", step, 100, {"reward": 0.5, "loss": 0.1})
    assert out.getvalue().splitlines() == ["  0:00  trial 1: train step 100/100 reward=0.500 loss=0.100"]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_live_view_fits_the_terminal_at_every_stage(tmp_path: Path, width: int) -> None:
    live = LiveConsole(io.StringIO())
    live._console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True)
    many = [trial(n, 80 + n % 50) for n in range(200)]
    for stage in (facts(tmp_path, state="running"), finished(tmp_path), facts(tmp_path, *many, phases={199: "train"})):
        live.recorded(entry(ev.Noticed("x")), stage)
        live.progressed(199, "train", 3, 10, {"reward": 0.25})
        with live._console.capture() as capture:
            live._console.print(live._render())
        assert len(capture.get().splitlines()) <= 24 + 8 * (width < 80)


def test_off_a_terminal_the_console_is_plain_and_quiet_prints_nothing(tmp_path: Path) -> None:
    proposed = entry(ev.TrialProposed(1, Proposal({"steps": 3}, rationale="why")))
    for kind, expected in (("auto", "trial 1: steps=3 (why)"), ("quiet", "")):
        out = io.StringIO()
        with open_console(kind, out) as console:
            console.recorded(proposed, facts(tmp_path, trial(0, 80)))
        assert expected in out.getvalue()
        assert bool(out.getvalue()) == bool(expected)


def test_an_evaluation_without_test_is_shown_as_not_opened(tmp_path: Path) -> None:
    text = printed(
        print_summary, facts(tmp_path, trial(0, 80), trial(1, 200, "keep"), incumbent=1, state="interrupted")
    )
    assert "not opened" in text


def test_status_shows_what_is_billed_now_and_how_to_end_it(tmp_path: Path) -> None:
    jobs = (
        RunningJob("s/0001/train/a2", 1, "train", 2, time.time() - 1800, "A100", 2.0),
        RunningJob("s/0002/train/a1", 2, "train", 1, time.time() - 3600, "A100", 2.0),
    )
    shown = replace(
        facts(tmp_path, trial(0, 80), state="killed"),
        jobs=jobs,
        phases={1: "train", 2: "train", 3: "train"},
        plan="up to 3",
    )
    text = printed(print_status, shown)
    assert "Plan: up to 3" in text
    assert "trial 1: train, attempt 2, for 30 min 00 s on A100, about $1.00 so far" in text
    assert "trial 3: train (starting)" in text
    assert "Billed now: 2 jobs, $4.00 an hour" in text
    assert f"reap --running {shown.study.directory}" in text
    assert status_json(shown)["jobs"][1]["usd_per_hour"] == 2.0
