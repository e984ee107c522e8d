"""Whole studies on the embedded GRPO task: some in which no training can help, some real ones; what each confirms.

    python benchmarks/whole_studies.py [--studies 5] [--trials 15] [--seeds-from 1] [--at-once 2]

A null study trains one configuration again and again (identical=true) with a coin for a reward: the
weights move as GRPO moves them, the scores vary from seed to seed, and nothing is learnt. A real
study is the default one with fewer items. Each is `python -m core` with certification, in a process
of its own; one line of JSON a study, then the counts. Exit code 1 if a null study confirmed a gain.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from core.report.verdict import certificate_of, noise_of
from core.study.launch import read_facts

COIN = '''"""Reward `coin`: heads or tails, whatever a completion says."""

import random

from core import PluginConfig, hookimpl


class Coin:
    """Rewards completions by chance."""

    class Config(PluginConfig):
        """Nothing to set."""

    def __init__(self, config):
        self._random = random.Random(os.urandom(8))

    def __call__(self, prompts, completions, **columns):
        return [float(self._random.random() < 0.5) for _ in completions]


@hookimpl
def rewards():
    return {"coin": "coin_reward:Coin"}
'''.replace("import random\n", "import os\nimport random\n", 1)
COMMON = ("tracker=none", "console=plain", "policy=tpe", "executor.slots=1", "executor.threads_per_slot=1")
NULL = (
    "identical=true", "~task.rewards.exact_match", "~task.rewards.format", "+task.rewards.coin.weight=1.0",
    "guard=off", "task.space.learning_rate.default=1e-4",
    "task.space.steps.default=20", "task.space.prompts_per_step.default=8",
)  # fmt: skip
REAL = ("task.space.steps.high=40", "task.space.steps.default=30")


def plugin(folder: Path) -> Path:
    """The coin as an installed distribution, for PYTHONPATH."""
    info = folder / "coin_reward-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coin-reward\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[overnight]\ncoin = coin_reward\n")
    (folder / "coin_reward.py").write_text(COIN)
    return folder


def study(place: Path, kind: str, seed: int, words: list[str]) -> dict[str, Any]:
    """Run one; what came of it."""
    directory = place / f"{kind}{seed}"
    began = time.monotonic()
    with (place / f"{kind}{seed}.log").open("wb") as log:
        ran = subprocess.run(
            [sys.executable, "-m", "core", *words, f"seed={seed}", f"dir={directory}"],
            cwd=place,
            stdout=log,
            stderr=log,
            check=False,
        )
    facts = read_facts(directory)
    made, noise, scores = certificate_of(facts), noise_of(facts), [trial.score for trial in facts.study.trials]
    best = facts.study.trial(facts.study.incumbent)
    found = {
        "kind": kind, "seed": seed, "exit": ran.returncode, "trials": len(scores) - 1, "baseline": scores[0],
        "incumbent": best.number, "score": best.score, "best_score": max(s for s in scores if s is not None),
        "seed_sd": noise and round(noise.sd, 4), "confirmed": bool(made and made.confirmed),
        "gain": made and made.gain and round(made.gain, 4), "low": made and made.low and round(made.low, 4),
        "fresh_seeds": made and made.seeds, "items": made and made.items,
        "test": best.test and [round(facts.study.trial(0).test.value, 4), round(best.test.value, 4)],
        "minutes": round((time.monotonic() - began) / 60, 1),
    }  # fmt: skip
    print(json.dumps(found), flush=True)
    return found


def main() -> int:
    """Run all, two at a time; print what they confirmed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=5, help="of each kind (%(default)s)")
    parser.add_argument("--kinds", nargs="+", default=["null", "real"])
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--seeds-from", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("overrides", nargs="*", default=[], help="for every study, as on the command line")
    told = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="whole-studies-"))
    paths = [str(plugin(place / "plugins")), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    common = [*COMMON, f"budget.trials={told.trials}", *told.overrides]
    with ThreadPoolExecutor(told.at_once) as pool:
        jobs = [
            pool.submit(study, place, kind, told.seeds_from + number, [*common, *(NULL if kind == "null" else REAL)])
            for number in range(told.studies)
            for kind in told.kinds
        ]
    found = [job.result() for job in jobs]
    counts = {
        kind: f"{sum(one['confirmed'] for one in found if one['kind'] == kind)} of {told.studies} confirmed"
        for kind in told.kinds
    }
    print(json.dumps({**counts, "place": str(place)}))
    return int(any(one["confirmed"] for one in found if one["kind"] == "null"))


if __name__ == "__main__":
    sys.exit(main())
