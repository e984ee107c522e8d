"""Summaries: what a person reads in ten seconds, at the end of a study or in the middle."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.contracts import Evaluation, Trial
from core.journal.facts import StudyFacts
from core.report.verdict import baseline_of, difference, incumbent_of, judge
from core.report.wording import duration, figure, interval, outcomes, tried


def print_summary(facts: StudyFacts, console: Console | None = None) -> None:
    """The verdict, baseline beside incumbent, how to get the model; for the end of a study."""
    out = console or _console()
    verdict = judge(facts)
    out.print()
    out.print(Text(verdict.sentence, style="bold green" if verdict.good else "bold"))
    for caveat in verdict.caveats:
        out.print(Text(caveat, style="dim"))
    baseline, best = baseline_of(facts), incumbent_of(facts)
    if baseline is not None and baseline.evaluation is not None:
        out.print(_scores(facts, baseline, best))
    if best is not None:
        out.print(Text(f"Settings: {tried(best.proposal)}"))
        out.print(Text(f"Model:    {facts.study.directory / 'best'}"))
    out.print(Text(_counts(facts), style="dim"))
    if facts.notices:
        out.print(Text(_noticed(facts), style="yellow"))


def print_status(facts: StudyFacts, console: Console | None = None) -> None:
    """Where a study stands."""
    out = console or _console()
    study = facts.study
    out.print(Text(f"{study.name} ({study.id}): {facts.state}", style="bold"))
    out.print(Text(f"task {study.task}, policy {study.policy}, executor {study.executor}, seed {study.seed}"))
    print_summary(facts, out)
    if facts.plan and facts.state != "finished":
        out.print(Text(f"Plan: {facts.plan}"))
    for line in running(facts, time.time()):
        out.print(Text(line))
    if facts.state in ("interrupted", "killed"):
        out.print(Text(f"Continue with: python -m core resume {study.directory}"))


def running(facts: StudyFacts, now: float) -> list[str]:
    """What runs, and is billed, at the moment `now` (Unix seconds), as far as the journal knows."""
    submitted = {job.trial for job in facts.jobs}
    lines = [f"trial {number}: {phase} (starting)" for number, phase in facts.phases.items() if number not in submitted]
    for job in facts.jobs:
        age = max(0.0, now - job.since)
        bill = f", about ${age / 3600 * job.usd_per_hour:.2f} so far" if job.usd_per_hour else ""
        lines.append(
            f"trial {job.trial}: {job.phase}, attempt {job.attempt}, for {duration(age)} on {job.hardware}{bill}"
        )
    if (rate := sum(job.usd_per_hour for job in facts.jobs)) > 0:
        lines.append(f"Billed now: {len(facts.jobs)} jobs, ${rate:.2f} an hour")
        if facts.state != "running":
            lines.append(
                f"No controller watches them; end them with: python -m core reap --running {facts.study.directory}"
            )
    return lines


def print_comparison(studies: Sequence[StudyFacts], console: Console | None = None) -> None:
    """One line a study, confirmed gains marked."""
    out = console or _console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("study", "policy", "seed", "state", "trials", "baseline (test)", "incumbent (test)", "gain", "time"):
        table.add_column(column, justify="right" if column in ("seed", "trials", "time") else "left")
    for facts in studies:
        baseline, best = baseline_of(facts), incumbent_of(facts)
        gain, style = "", ""
        if baseline and best and baseline.test and best.test:
            found = difference(best.test, baseline.test, facts.study.objective)
            gain = f"{found.gain:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
            style = "green" if best.confirmed else ""
            gain += " confirmed" if best.confirmed else " unconfirmed"
        table.add_row(
            Text(facts.study.directory.name),
            Text(facts.study.policy),
            str(facts.study.seed),
            facts.state,
            str(sum(1 for trial in facts.study.trials if trial.number)),
            Text(_range(baseline)),
            Text(_range(best)),
            Text(gain, style=style),
            duration(facts.study.seconds),
        )
    out.print(table)


def _scores(facts: StudyFacts, baseline: Trial, best: Trial | None) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", f"{facts.study.objective.metric}, test", "95 % interval", "n", "validation", "n"):
        table.add_column(column)
    rows: list[tuple[str, Trial]] = [("baseline", baseline)]
    if best is not None:
        rows.append((f"trial {best.number} ({'confirmed' if best.confirmed else 'leading'})", best))
    for label, trial in rows:
        table.add_row(label, *_cells(trial.test, ranged=True), *_cells(trial.evaluation, ranged=False))
    return table


def _cells(evaluation: Evaluation | None, *, ranged: bool) -> list[str]:
    if evaluation is None:
        return ["not opened", "", ""] if ranged else ["", ""]
    middle = [f"{figure(evaluation.low)} to {figure(evaluation.high)}"] if ranged else []
    n = "self-reported" if evaluation.self_reported else str(evaluation.n)
    return [figure(evaluation.value), *middle, n]


def _range(trial: Trial | None) -> str:
    """The test score; for self-reported scores, which have no test split, the validation score."""
    found = trial.test if trial else None
    if trial and found is None and trial.evaluation is not None and trial.evaluation.self_reported:
        found = trial.evaluation
    return "–" if found is None else interval(found)


def _noticed(facts: StudyFacts) -> str:
    count, last = len(facts.notices), facts.notices[-1].text
    return f"{count} notices, the last: {last}" if count > 1 else f"Notice: {last}"


def _counts(facts: StudyFacts) -> str:
    trials = outcomes(facts) or "none"
    spent = f"${facts.study.usd:.2f}" if facts.study.usd else "no cost"
    ended = f"; ended: {facts.study.finished}" if facts.study.finished else ""
    return f"Trials: {trials}. Time: {duration(facts.study.seconds)}, {spent}{ended}."


def _console() -> Console:
    # On a terminal, words are wrapped; in a pipe or a log a line of facts stays one line.
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=160)
