"""A trial's training curve in one short line, read from its metrics.jsonl."""

import itertools
import json
import math
from pathlib import Path

from overnight_llm import plain

_MOST_BYTES = 1 << 20
_POINTS = 6
# What a curve is of, if training reports several metrics; else the first by name.
_PREFERRED = ("reward", "eval_loss", "loss")


def curve(directory: Path, number: int) -> str:
    """ "reward: 0.1 0.3 0.42 (60 steps)", downsampled by eye to six means; "" where nothing was reported."""
    path = directory / "trials" / f"{number:04d}" / "metrics.jsonl"
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    series: dict[str, list[float]] = {}
    steps = 0
    for line in text.splitlines():
        try:
            node = json.loads(line)
            steps = max(steps, int(node["step"]))
            for name, value in node["metrics"].items():
                if isinstance(value, int | float) and math.isfinite(value):
                    series.setdefault(name, []).append(float(value))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue  # a torn last line, or one that training wrote itself
    names = sorted(series, key=lambda name: (_PREFERRED.index(name) if name in _PREFERRED else 9, name))
    if not names:
        return ""
    values = series[names[0]]
    pieces = min(_POINTS, len(values))
    bounds = [round(i * len(values) / pieces) for i in range(pieces + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(bounds)]
    name = plain(names[0], 30).replace("<", "‹").replace(">", "›")
    return f"{name}: {' '.join(f'{mean:.3g}' for mean in means)} ({steps} steps)"
