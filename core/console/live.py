"""The live view: a screenful that follows a study while it runs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from core.contracts import BASELINE, Trial
from core.journal.events import Entry, Phase
from core.journal.facts import StudyFacts
from core.report.verdict import baseline_of, incumbent_of
from core.report.wording import duration, figure, interval, outcome, param

_STYLES = {
    "incumbent": "bold green",
    "led": "green",
    "fresh seed": "cyan",
    "failed": "red",
    "baseline": "bold",
    "running": "cyan",
}


@dataclass
class _Job:
    """What a running job reported last."""

    phase: str
    step: int = 0
    total: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)


class LiveConsole:
    """An observer that redraws the terminal, at most four times a second."""

    def __init__(self, stream: TextIO) -> None:
        self._facts: StudyFacts | None = None
        self._jobs: dict[int, _Job] = {}
        self._received = time.monotonic()
        self._console = Console(file=stream, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> "LiveConsole":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def recorded(self, entry: Entry, facts: StudyFacts) -> None:
        """See Observer."""
        self._facts, self._received = facts, time.monotonic()
        for number in [number for number in self._jobs if number not in facts.phases]:
            del self._jobs[number]
        for number, phase in facts.phases.items():
            if number not in self._jobs or self._jobs[number].phase != phase:
                self._jobs[number] = _Job(phase)

    def progressed(self, trial: int, phase: Phase, step: int, total: int | None, metrics: Mapping[str, float]) -> None:
        """See Observer."""
        self._jobs[trial] = _Job(phase, step, total, dict(metrics))

    # Drawing.

    def _render(self) -> RenderableType:
        facts = self._facts
        if facts is None:
            return Text("starting …")
        study = facts.study
        head = Text.assemble(
            (study.name, "bold"), f"  task {study.task} · policy {study.policy} · executor {study.executor}"
        )
        parts: list[RenderableType] = [head, Text(str(study.directory), style="dim")]
        parts += [Text(f"plan: {facts.plan}", style="dim"), self._trials(facts)]
        parts += [self._running(), self._standing(facts), self._budget(facts)]
        if facts.notices:
            parts.append(Text(f"notice: {facts.notices[-1].text}", style="yellow", overflow="ellipsis", no_wrap=True))
        return Group(*parts)

    def _trials(self, facts: StudyFacts) -> Table:
        names = list(facts.space)
        shown = names[: max(1, (self._console.width - 62) // 12)]
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("trial", justify="right")
        table.add_column("")
        table.add_column(f"{facts.study.objective.metric} (validation)")
        for name in shown:
            table.add_column(name, max_width=16, overflow="ellipsis", no_wrap=True)
        table.add_column("time", justify="right")
        room = max(3, self._console.height - 14 - len(self._jobs))
        ended = [trial for trial in facts.study.trials if trial.status != "running"]
        for trial in ended[-room:]:
            table.add_row(*self._row(facts, trial, shown))
        return table

    def _row(self, facts: StudyFacts, trial: Trial, shown: list[str]) -> list[Text]:
        word = outcome(trial, facts)
        style = _STYLES.get(word, "dim")
        score = interval(trial.evaluation) if trial.evaluation else (trial.error_kind or "")
        values = [param(trial.proposal.params[name]) if name in trial.proposal.params else "" for name in shown]
        return [Text(cell, style=style) for cell in (str(trial.number), word, score, *values, duration(trial.seconds))]

    def _running(self) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0))
        for number, job in sorted(self._jobs.items()):
            bar = ProgressBar(total=job.total, completed=job.step, width=24) if job.total else Text("…")
            steps = f"{job.step}/{job.total}" if job.total else ""
            values = " ".join(
                f"{name} {figure(job.metrics[name])}" for name in ("reward", "loss", "kl") if name in job.metrics
            )
            who = "baseline" if number == BASELINE else f"trial {number}"
            table.add_row(Text(who, style="cyan"), Text(job.phase), bar, Text(steps), Text(values, style="dim"))
        return table

    def _standing(self, facts: StudyFacts) -> Text:
        baseline, best = baseline_of(facts), incumbent_of(facts)
        if baseline is None or baseline.evaluation is None:
            return Text("baseline: not measured yet", style="dim")
        text = Text(f"baseline {interval(baseline.evaluation)}")
        if best and best.evaluation:
            text.append(
                f"   {'confirmed' if best.confirmed else 'leading'}: trial {best.number} {interval(best.evaluation)}",
                style="bold green",
            )
        return text

    def _budget(self, facts: StudyFacts) -> Text:
        limits, study = facts.limits, facts.study
        seconds = study.seconds + time.monotonic() - self._received
        used = sum(1 for trial in study.trials if trial.number)
        of = f"/{limits.trials}" if limits.trials else ""
        clock = f" of {duration(limits.wall_clock_s)}" if limits.wall_clock_s else ""
        parts = [f"trials {used}{of}", f"time {duration(seconds)}{clock}"]
        if limits.usd is not None or study.usd:
            parts.append(f"${study.usd:.2f}" + (f" of ${limits.usd:.2f}" if limits.usd is not None else ""))
        if (left := self._eta(facts)) is not None:
            parts.append(f"about {duration(left)} left")
        return Text(" · ".join(parts))

    def _eta(self, facts: StudyFacts) -> float | None:
        """Seconds left: remaining trials at the median time, as many at once as run now."""
        spans = [
            t.ended_s - t.started_s for t in facts.study.trials if t.number and t.status == "completed" and t.ended_s
        ]
        if facts.limits.trials is None or not spans:
            return None
        trials = [trial for trial in facts.study.trials if trial.number]
        to_come = facts.limits.trials - len(trials)
        running = [trial for trial in trials if trial.status == "running"]
        now = facts.study.seconds + time.monotonic() - self._received
        half_done = sum(max(0.0, median(spans) - (now - trial.started_s)) for trial in running)
        return (to_come * median(spans) + half_done) / max(1, len(running))
