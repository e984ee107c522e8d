"""Lessons of a study from its data alone: what helped, hurt and failed, each with its evidence."""

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from core import CategoricalParam, InvalidParams, Objective, Scalar, Space, Trial

_FEWEST = 5  # scored trials before anything is said of a parameter
_SHOWN = 1.645  # standard errors: one-sided 5 %, untested for how many parameters are looked at
_SEPARATES = 0.9  # chance that a failed trial's value is beyond a scored one's

Row = tuple[dict[str, Scalar], float]


def lessons(space: Space, objective: Objective, baseline: Trial | None, trials: Sequence[Trial]) -> list[str]:
    """What the ended trials teach, as sentences; empty while there is too little to say.

    Numbers are ranked against the score (Spearman; normal approximation, z = rho · √(n-1)), choices
    compared by means (Welch), failures told from scored trials by one parameter at a time
    (Mann-Whitney). No correction for the number of parameters: these are hints, not findings.
    """
    rows, failed = _sorted(space, trials)
    found = list(_best(objective, baseline, trials))
    if len(rows) >= _FEWEST:
        for name, param in space.items():
            if isinstance(param, CategoricalParam):
                found += _choice(name, rows, objective)
            else:
                found += _number(name, rows, objective)
    return found + list(_failures(space, rows, failed))


def is_dead_end(trial: Trial) -> bool:
    """Whether a trial failed by what it tried, and not because it was given up or its machine was lost."""
    return trial.status == "failed" and trial.error_kind not in ("executor", "budget")


def _sorted(space: Space, trials: Sequence[Trial]) -> tuple[list[Row], list[tuple[dict[str, Scalar], Trial]]]:
    rows, failed = [], []
    for trial in trials:
        try:
            point = space.check(trial.proposal.params)
        except InvalidParams:
            continue
        if trial.score is not None and math.isfinite(trial.score):
            rows.append((point, trial.score))
        elif is_dead_end(trial):
            failed.append((point, trial))
    return rows, failed


def _best(objective: Objective, baseline: Trial | None, trials: Sequence[Trial]) -> Iterator[str]:
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        return
    top = max(scored, key=lambda trial: objective.gain(trial.score or 0.0, 0.0))
    assert top.evaluation is not None
    against = ""
    if baseline is not None and baseline.score is not None:
        against = f"; the baseline scored {baseline.score:.4g}"
    span = f"{top.evaluation.low:.4g} … {top.evaluation.high:.4g}, n={top.evaluation.n}"
    params = ", ".join(f"{name}={_shown(value)}" for name, value in top.proposal.params.items())
    yield f"Best so far: trial {top.number}, {objective.metric} {top.score:.4g} ({span}){against}. It tried {params}."


def _number(name: str, rows: Sequence[Row], objective: Objective) -> Iterator[str]:
    values = [float(point[name]) for point, _ in rows]
    gains = [objective.gain(score, 0.0) for _, score in rows]
    if len(set(values)) < 3 or len(set(gains)) < 2:
        return
    rho = statistics.correlation(_ranks(values), _ranks(gains))
    if abs(rho) * math.sqrt(len(rows) - 1) < _SHOWN:
        return
    third = max(2, len(rows) // 3)
    top = sorted(range(len(rows)), key=lambda i: -gains[i])[:third]
    low, high = min(values[i] for i in top), max(values[i] for i in top)
    word = "Higher" if rho > 0 else "Lower"
    yield (
        f"{word} {name} helped: rank correlation {rho:+.2f} over {len(rows)} trials; "
        f"the best {third} had {_shown(low)} … {_shown(high)}."
    )


def _choice(name: str, rows: Sequence[Row], objective: Objective) -> Iterator[str]:
    for choice in dict.fromkeys(point[name] for point, _ in rows):
        with_it = [objective.gain(score, 0.0) for point, score in rows if point[name] == choice]
        without = [objective.gain(score, 0.0) for point, score in rows if point[name] != choice]
        if len(with_it) < 2 or len(without) < 2:
            continue
        error = math.sqrt(statistics.variance(with_it) / len(with_it) + statistics.variance(without) / len(without))
        gap = statistics.fmean(with_it) - statistics.fmean(without)
        if abs(gap) > _SHOWN * error and gap != 0:
            word = "helped" if gap > 0 else "hurt"
            counts = f"{len(with_it)} trials with it, {len(without)} without"
            yield f"{name}={choice} {word}: {abs(gap):.3g} {objective.metric} on average ({counts})."


def _failures(space: Space, rows: Sequence[Row], failed: Sequence[tuple[dict[str, Scalar], Trial]]) -> Iterator[str]:
    kinds = Counter(trial.error_kind or "unknown" for _, trial in failed)
    for kind, count in kinds.most_common():
        points = [point for point, trial in failed if (trial.error_kind or "unknown") == kind]
        numbers = [str(trial.number) for _, trial in failed if (trial.error_kind or "unknown") == kind]
        where = _where(space, points, [point for point, _ in rows])
        listed = ", ".join(numbers[:8]) + (", …" if len(numbers) > 8 else "")
        yield f"{count} trial{'s' * (count > 1)} failed with {kind} ({listed}){where}."


def _where(space: Space, bad: Sequence[dict[str, Scalar]], good: Sequence[dict[str, Scalar]]) -> str:
    if len(bad) < 2 or len(good) < 2:
        return ""
    best, said = _SEPARATES, ""
    for name, param in space.items():
        if isinstance(param, CategoricalParam):
            continue
        above = statistics.fmean(
            1.0 if float(b[name]) > float(g[name]) else 0.5 if b[name] == g[name] else 0.0 for b in bad for g in good
        )
        if max(above, 1 - above) >= best:
            best = max(above, 1 - above)
            edge = min(float(b[name]) for b in bad) if above > 0.5 else max(float(b[name]) for b in bad)
            side = "at or above" if above > 0.5 else "at or below"
            beyond = sum(float(g[name]) >= edge if above > 0.5 else float(g[name]) <= edge for g in good)
            said = f": all with {name} {side} {_shown(edge)}, where {beyond} of {len(good)} others completed"
    return said


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, ties sharing their mean."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop + 1 < len(order) and values[order[stop + 1]] == values[order[start]]:
            stop += 1
        for i in range(start, stop + 1):
            ranks[order[i]] = (start + stop) / 2 + 1
        start = stop + 1
    return ranks


def _shown(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
