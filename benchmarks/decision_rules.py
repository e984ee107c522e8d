"""Decision rules at equal cost: simulated campaigns with and without anything to find, and recorded identical runs.

The world (shared notes, policies.md 3.2): a configuration has a quality q in points (45 at the start); one run
of it has m = q + N(0, seed sd); item i is right with probability sigmoid(theta(m) - b_i), b_i ~ N(0, 2.5), the same
items in every run. The untouched model is evaluated, not trained: its run has no seed noise. Proposals vary the
incumbent: 35 % change nothing, 40 % do harm, 25 % help, ever less as the gain nears 20 points. In the null world
nothing changes anything. A budget counts every run: retests and certification too. The rules are those that are
shipped. `+cert` is the rule with the certification that a study adds (items set aside, fresh seeds); without it,
as rivals do.

    OMP_NUM_THREADS=1 python benchmarks/decision_rules.py --quick
    OMP_NUM_THREADS=1 python benchmarks/decision_rules.py --worlds null --budgets 30 --campaigns 400
    OMP_NUM_THREADS=1 python benchmarks/decision_rules.py --recorded         replays benchmarks/data/identical_runs.json
"""

import argparse
import functools
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from core.decision.campaign import Played, Repeated, play
from core.journal.facts import Limits
from core.plugins import discover
from core.study.certifying import plan
from core.study.settings import CertificationSettings

TABLE = Path(__file__).parent / "data" / "identical_runs.json"
RULES = ("greedy", "margin", "paired", "repeat", "climb", "greedy+cert", "climb+cert")
_SPREAD = 2.5
_GRID = np.linspace(-12, 12, 481)
_ACCURACY = np.array(
    [(1 / (1 + np.exp(-(t - np.random.default_rng(1).normal(0, _SPREAD, 20000))))).mean() for t in _GRID]
)
START = 45.0


class Simulated:
    """One simulated study's world."""

    def __init__(self, seed: int, items: int, sd: float, *, null: bool) -> None:
        self._rng, self._sd, self._null = np.random.default_rng(seed), sd, null
        self._hard = self._rng.normal(0, _SPREAD, items)
        self.quality = [START]
        self.twins: set[int] = set()

    def child(self, parent: int) -> int:
        """See core.decision.campaign.World."""
        draw, gain = self._rng.random(), max(0.0, self.quality[parent] - START)
        step = 0.0
        if not self._null and draw >= 0.35:
            size = self._rng.exponential(2.5)
            step = -min(size, 15.0) if draw < 0.75 else size * max(0.0, 1 - gain / 20)
        self.quality.append(self.quality[parent] + step)
        return len(self.quality) - 1

    def run(self, configuration: int) -> np.ndarray:
        """See core.decision.campaign.World."""
        luck = self._sd * self._rng.normal() if configuration else 0.0
        ability = np.interp(np.clip((self.quality[configuration] + luck) / 100, 0.005, 0.995), _ACCURACY, _GRID)
        return self._rng.random(len(self._hard)) < 1 / (1 + np.exp(self._hard - ability))

    def gain(self, configuration: int) -> float:
        """The true one, in points."""
        return self.quality[configuration] - START


class Recorded(Repeated):
    """Recorded runs; see core.decision.campaign.Repeated."""

    def gain(self, configuration: int) -> float:
        """None is any."""
        return 0.0


def campaigns(name: str, world, budget: int, count: int, first: int = 10_000) -> dict:
    """So many campaigns of one rule; `world(seed)` makes each one's world."""
    rule_name, _, certified = name.partition("+")
    runs = plan(Limits(trials=budget), CertificationSettings()).runs if certified else 0
    rule = discover().build("decision", {"name": rule_name})
    played: list[Played] = []
    gains = []
    for seed in range(first, first + count):
        here = world(seed)
        played.append(play(rule, here, budget, runs))
        gains.append(here.gain(played[-1].configuration))
    claims = [100 * one.claim for one in played]
    tested = [one.certificate for one in played if one.certificate is not None]
    confirmed = sum(one.confirmed for one in tested)
    false = sum(
        bool(one.certificate and one.certificate.confirmed and gain <= 0)
        for one, gain in zip(played, gains, strict=True)
    )
    return {
        "rule": name,
        "campaigns": count,
        "true_gain": statistics.fmean(gains),
        "se": statistics.stdev(gains) / count**0.5,
        "claimed": statistics.fmean(claims),
        "optimism": statistics.fmean(claims) - statistics.fmean(gains),
        "claims_2": sum(claim > 2 for claim in claims) / count,
        "confirmed": confirmed / count if certified else None,
        "false_confirmed": false / count if certified else None,
    }


def line(where: str, found: dict) -> str:
    """A row of the Markdown table."""
    percent = lambda share: "–" if share is None else f"{share:.1%}"  # noqa: E731
    return (
        f"| {where} | {found['rule']} | {found['true_gain']:.2f} ± {found['se']:.2f} | {found['claimed']:+.2f} | "
        f"{found['optimism']:+.2f} | {found['claims_2']:.0%} | {percent(found['confirmed'])} | "
        f"{percent(found['false_confirmed'])} |"
    )


def main() -> None:
    """Print a Markdown table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="30 campaigns of the two cells that the promises name")
    parser.add_argument("--recorded", action="store_true", help="replay the recorded identical runs")
    parser.add_argument("--worlds", default="null,effects")
    parser.add_argument("--budgets", default="15,30,60,100")
    parser.add_argument("--items", default="100,500")
    parser.add_argument("--sd", default="1.5,4")
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--campaigns", type=int, default=200)
    given = parser.parse_args()
    rules = given.rules.split(",")
    head = ("true gain, points", "claimed", "optimism", "claims > 2", "confirmed", "confirmed, no gain")
    print(f"| world, trials, items, seed sd | rule | {' | '.join(head)} |")
    print("|---|---|---|---|---|---|---|---|")
    began = time.monotonic()
    if given.recorded:
        table = json.loads(TABLE.read_text())
        runs = [[float(char) for char in run["right"]] for run in table["runs"]]
        for budget in map(int, given.budgets.split(",")):
            for rule in rules:
                found = campaigns(rule, lambda seed: Recorded(seed, runs), budget, given.campaigns)
                print(line(f"recorded ×{len(runs)}, {budget}, {len(runs[0])}", found), flush=True)
        return
    cells = [
        (world, int(budget), int(items), float(sd))
        for world in given.worlds.split(",")
        for budget in given.budgets.split(",")
        for items in given.items.split(",")
        for sd in given.sd.split(",")
    ]
    if given.quick:
        cells, given.campaigns = [("null", 30, 500, 4.0), ("effects", 60, 500, 4.0)], 30
    for world, budget, items, sd in cells:
        for rule in rules:
            make = functools.partial(Simulated, items=items, sd=sd, null=world == "null")
            found = campaigns(rule, make, budget, given.campaigns)
            print(line(f"{world}, {budget}, {items}, {sd:g}", found), flush=True)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
