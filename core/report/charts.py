"""The charts: progress over trials, parallel coordinates, importance; drawn with matplotlib."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.contracts import BASELINE, Trial
from core.journal.facts import StudyFacts
from core.report.verdict import baseline_of
from core.report.wording import changed, figure, led, param, printable

_GREEN, _GREY, _RED, _BLUE, _INK = "#1a7f5a", "#9aa3ad", "#c0392b", "#2f6fb0", "#22272e"
_MOST_LABELS = 12


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#8b949e",
        "axes.labelcolor": _INK,
        "xtick.color": "#57606a",
        "ytick.color": "#57606a",
        "svg.fonttype": "none",
        "svg.hashsalt": "overnight",
    }
    with mpl.rc_context(style):
        made = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(made)
        yield made, made.add_subplot()


def progress_png(facts: StudyFacts) -> bytes:
    """The progress chart as PNG, 1,500 × 780 pixels."""
    return _draw_progress(facts, "png")


def progress_svg(facts: StudyFacts) -> str:
    """The progress chart as SVG."""
    return _svg(_draw_progress(facts, "svg"))


def _draw_progress(facts: StudyFacts, kind: str) -> bytes:
    objective = facts.study.objective
    trials = [trial for trial in facts.study.trials if trial.number]
    scored = [trial for trial in trials if trial.score is not None]
    baseline = baseline_of(facts)
    with _figure(10, 5.2) as (made, axes):
        last = max([trial.number for trial in trials], default=1)
        if baseline and baseline.evaluation:
            axes.axhline(baseline.evaluation.value, color=_GREY, linestyle="--", linewidth=1)
            axes.axhspan(baseline.evaluation.low, baseline.evaluation.high, color=_GREY, alpha=0.12, linewidth=0)
        kept = [trial for trial in scored if led(trial)]
        dropped = [trial for trial in scored if trial not in kept]
        _points(axes, dropped, _GREY, 26, 0.75, "discarded")
        _points(axes, kept, _GREEN, 46, 1.0, "led")
        if baseline and baseline.score is not None:
            xs, ys = [0.0], [baseline.score]
            for trial in sorted(kept, key=lambda t: t.ended_s or 0.0):
                xs.append(trial.number)
                ys.append(trial.score or 0.0)
            axes.step([*xs, last + 0.3], [*ys, ys[-1]], where="post", color=_GREEN, linewidth=1.6, zorder=2)
            axes.scatter([0], [baseline.score], color=_INK, s=40, zorder=4, label="baseline")
        low, high = axes.get_ylim()
        failed = [trial.number for trial in trials if trial.status == "failed"]
        if failed:
            axes.scatter(
                failed, [low] * len(failed), marker="x", color=_RED, s=36, label="failed", clip_on=False, zorder=5
            )
            axes.set_ylim(low, high)
        _label_kept(axes, kept, baseline)
        _mark_test(axes, facts, last)
        axes.set_xlim(-0.6, last + (2.6 if facts.test_opened else 0.8))
        step = max(1, math.ceil((last + 1) / 16))
        axes.set_xticks(range(0, last + 1, step))
        axes.set_xlabel("trial")
        better = "higher is better" if objective.direction == "maximize" else "lower is better"
        axes.set_ylabel(f"{objective.metric} on validation ({better})")
        axes.grid(axis="y", color="#d0d7de", linewidth=0.6, alpha=0.7)
        axes.set_axisbelow(True)
        axes.set_title(
            f"{printable(facts.study.name)}: {len(trials)} trials, {len(kept)} led",
            loc="left",
            fontsize=12,
            color=_INK,
            pad=12,
            parse_math=False,
        )
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
        return _save(made, kind)


def _points(axes: Any, trials: list[Trial], colour: str, size: float, alpha: float, label: str) -> None:
    if not trials:
        return
    xs, ys = [trial.number for trial in trials], [trial.score or 0.0 for trial in trials]
    bars = [[], []]  # type: list[list[float]]
    for trial in trials:
        assert trial.evaluation is not None
        bars[0].append(max(0.0, trial.evaluation.value - trial.evaluation.low))
        bars[1].append(max(0.0, trial.evaluation.high - trial.evaluation.value))
    if len(trials) <= 60:
        axes.errorbar(xs, ys, yerr=bars, fmt="none", ecolor=colour, alpha=alpha * 0.55, elinewidth=1, zorder=2)
    axes.scatter(xs, ys, color=colour, s=size, alpha=alpha, zorder=3, label=label, edgecolor="white", linewidth=0.7)


def _label_kept(axes: Any, kept: list[Trial], baseline: Trial | None) -> None:
    """Name what each kept trial changed; only as many as can be told apart."""
    chosen = kept if len(kept) <= _MOST_LABELS else kept[-_MOST_LABELS:]
    before: Trial | None = None
    for trial in kept:
        if trial in chosen:
            values = changed(trial, before) or trial.proposal.params
            names = [f"{name}={param(value)}" for name, value in list(values.items())[:2]]
            text = ", ".join(names) + ("…" if len(values) > 2 else "")
            place = (6, -14) if chosen.index(trial) % 2 else (6, 8)
            axes.annotate(
                text, (trial.number, trial.score), xytext=place, textcoords="offset points", fontsize=7.5,
                color=_GREEN, zorder=6, bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
        before = trial


def _mark_test(axes: Any, facts: StudyFacts, last: int) -> None:
    marks = [(facts.study.trial(n).test, n) for n in facts.test_opened]
    for place, (test, number) in enumerate(marks):
        if test is None:
            continue
        colour = _INK if number == BASELINE else _BLUE
        label = f"test: {'baseline' if number == BASELINE else f'trial {number}'} {figure(test.value)}"
        x = last + 1.1 + place * 0.8
        bars = [[max(0.0, test.value - test.low)], [max(0.0, test.high - test.value)]]
        axes.errorbar(
            [x], [test.value], yerr=bars, fmt="D", color=colour, markersize=6, capsize=3, label=label, zorder=5
        )


def parallel_svg(facts: StudyFacts) -> str:
    """Parallel coordinates of all scored trials: one axis a parameter, the score last."""
    scored = sorted((t for t in facts.study.trials if t.number and t.score is not None), key=lambda t: t.score or 0.0)
    if facts.study.objective.direction == "minimize":
        scored.reverse()
    names = list(facts.space)
    with _figure(10, 4.2) as (made, axes):
        import matplotlib as mpl

        colours = mpl.colormaps["viridis"]
        scores = [trial.score or 0.0 for trial in scored]
        low, high = min(scores), max(scores)
        for rank, trial in enumerate(scored):
            heights = [_height(facts, name, trial) for name in names]
            heights.append(0.5 if high == low else ((trial.score or 0.0) - low) / (high - low))
            best = trial.number == facts.study.incumbent
            shade = colours(rank / max(1, len(scored) - 1))
            axes.plot(
                range(len(heights)), heights, color=_GREEN if best else shade, linewidth=3 if best else 1.2,
                alpha=1.0 if best else 0.65, zorder=3 if best else 2, solid_capstyle="round",
            )  # fmt: skip
        for x, name in enumerate([*names, facts.study.objective.metric]):
            axes.axvline(x, color="#8b949e", linewidth=0.8, zorder=1)
            for height, text in _ticks(facts, name) if x < len(names) else [(0.0, figure(low)), (1.0, figure(high))]:
                axes.annotate(
                    text, (x, height), xytext=(4, -3), textcoords="offset points", fontsize=8, color="#57606a"
                )
        axes.set_xlim(-0.15, len(names) + 0.35)
        axes.set_ylim(-0.06, 1.06)
        axes.set_xticks(range(len(names) + 1), [*names, facts.study.objective.metric])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.tick_params(axis="x", length=0)
        return _svg(_save(made, "svg"))


def _height(facts: StudyFacts, name: str, trial: Trial) -> float:
    setting, value = facts.space[name], trial.proposal.params.get(name)
    if setting.type == "categorical":
        at = [str(choice) for choice in setting.choices].index(str(value))
        return at / max(1, len(setting.choices) - 1)
    if setting.low == setting.high or not isinstance(value, int | float):
        return 0.5
    if setting.log:
        return math.log(value / setting.low) / math.log(setting.high / setting.low)
    return (value - setting.low) / (setting.high - setting.low)


def _ticks(facts: StudyFacts, name: str) -> list[tuple[float, str]]:
    setting = facts.space[name]
    if setting.type == "categorical":
        count = max(1, len(setting.choices) - 1)
        return [(i / count, str(choice)) for i, choice in enumerate(setting.choices)]
    return [(0.0, param(setting.low)), (1.0, param(setting.high))]


def importance_svg(shares: dict[str, float]) -> str:
    """Horizontal bars, the most important on top."""
    with _figure(10, 0.6 + 0.32 * len(shares)) as (made, axes):
        names = list(reversed(shares))
        values = [shares[name] for name in names]
        axes.barh(names, values, color=_BLUE, height=0.62)
        for place, value in enumerate(values):
            axes.annotate(f"{value:.0%}", (value, place), xytext=(4, -3), textcoords="offset points", fontsize=8.5)
        axes.set_xlim(0, max(values) * 1.12 or 1)
        axes.set_xticks([])
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return _svg(_save(made, "svg"))


def _save(made: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    made.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def _svg(data: bytes) -> str:
    """The <svg> element alone, to stand inside a page."""
    text = data.decode("utf-8")
    return text[text.index("<svg") :]
