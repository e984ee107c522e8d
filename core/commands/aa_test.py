"""Measures a task's noise with identical runs, and whether the decision rule would make up progress of it."""

import json
import math
import time
from pathlib import Path
from typing import Any

from core.commands.arguments import Parser
from core.decision.campaign import Repeated, play
from core.decision.power import items_for, seeds_for, visible
from core.errors import UsageError
from core.journal.facts import Limits, StudyFacts
from core.journal.store import FILENAME, Journal
from core.plugins import discover
from core.study.certifying import plan
from core.study.launch import read_facts
from core.study.settings import CertificationSettings

_RUNS = 12
_CAMPAIGNS = 200
_TRIALS = 30
_PROMISE = 0.05
_SHOWN = (0.01, 0.02, 0.03, 0.05, 0.1)


def main(argv: list[str]) -> int:
    """`aa-test +task=NAME [n=12] [KEY=VALUE …]` runs; `aa-test DIR` looks at what was run before."""
    parser = Parser(prog="python -m core aa-test", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="DIR | KEY=VALUE", help="settings of the study; n=RUNS")
    parser.add_argument("--json", action="store_true", help="the same facts for programs")
    arguments = parser.parse_args(argv)
    words = [str(word) for word in arguments.words]
    given = next((Path(word) for word in words if (Path(word) / FILENAME).exists()), None)
    code = 0
    if given is None:
        given, code = _run(words)
    found = noise(given)
    print(json.dumps(found, indent=2) if arguments.json else _said(found))
    return code


def _run(words: list[str]) -> tuple[Path, int]:
    from core.commands.study import main as study

    runs = next((word.partition("=")[2] for word in words if word.startswith("n=")), str(_RUNS))
    if not runs.isdigit() or int(runs) < 3:
        raise UsageError(f"n={runs}: a whole number of at least 3 runs is needed")
    rest = [word for word in words if not word.startswith("n=")]
    place = next((word.partition("=")[2] for word in rest if word.startswith("dir=")), "")
    if not place:
        place = f"studies/{time.strftime('%Y-%m-%d_%H-%M-%S')}_aa-test"
        rest.append(f"dir={place}")
    code = study([*rest, "identical=true", f"budget.trials={runs}", "certification.runs=0"])
    if not (Path(place) / FILENAME).exists():
        raise UsageError("the A/A test was not run; see the error above")
    return Path(place), code


def noise(directory: Path) -> dict[str, Any]:
    """The noise of a study whose trials are all the same, as JSON-ready data."""
    facts = read_facts(directory)
    runs, ids = _items(facts, directory)
    n, count = len(ids), len(runs)
    means = [math.fsum(run) / n for run in runs]
    mean = math.fsum(means) / count
    run_variance = math.fsum((value - mean) ** 2 for value in means) / (count - 1)
    pairs = [(a, b) for i, a in enumerate(runs) for b in runs[:i]]
    gaps = [math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / n for a, b in pairs]
    differing = math.fsum(gaps) / len(pairs)
    spreads = [math.fsum((x - m) ** 2 for x in run) / (n - 1) for run, m in zip(runs, means, strict=True)]
    spread = math.fsum(spreads) / count
    settings = CertificationSettings()
    planned = plan(Limits(trials=_TRIALS), settings)
    aside = max(1, round(settings.items_share * n))
    low, high = _interval(run_variance, count)
    scale = 1.0 if 0 <= mean <= 1 else abs(mean)
    gains = [
        {
            "gain": share * scale,
            "seeds": seeds_for(share * scale, run_variance, differing, aside),
            "items": items_for(share * scale, run_variance, differing, planned.runs),
        }
        for share in _SHOWN
    ]
    rule_node = facts.study.config["decision"]
    luck = max(means) - mean
    confirmed = _replay(rule_node, runs, planned.runs)
    return {
        "task": facts.study.task, "metric": facts.study.objective.metric, "directory": str(directory),
        "runs": count, "items": n, "mean": mean, "seed_sd": math.sqrt(run_variance), "seed_sd_low": low,
        "seed_sd_high": high, "item_standard_error": math.sqrt(spread / n), "differing": differing,
        "set_aside": aside, "seeds": planned.runs,
        "visible": visible(run_variance, differing, planned.runs, aside), "gains": gains, "rule": rule_node["name"],
        "campaigns": _CAMPAIGNS, "campaign_trials": _TRIALS, "confirmed": confirmed, "luck": luck,
        "promise": _PROMISE, "kept": confirmed <= _PROMISE + 2 * math.sqrt(_PROMISE * (1 - _PROMISE) / _CAMPAIGNS),
    }  # fmt: skip


def _items(facts: StudyFacts, directory: Path) -> tuple[list[list[float]], list[str]]:
    trials = [trial.number for trial in facts.study.trials if trial.number and trial.score is not None]
    if len({str(facts.study.trial(number).proposal.params) for number in trials}) > 1:
        raise UsageError(f"{directory} is no A/A test: its trials differ (run one with: python -m core aa-test)")
    with Journal.open(directory / FILENAME, readonly=True) as journal:
        found = [{item.id: item.score for item in journal.items(number, "validation")} for number in trials]
    if len(found) < 3 or not found[0]:
        raise UsageError(f"{directory} has {len(found)} runs with item scores; at least 3 are needed")
    ids = sorted(found[0])
    return [[run[name] for name in ids] for run in found], ids


def _interval(variance: float, count: int) -> tuple[float, float]:
    """The 90 % interval of a standard deviation (chi-square)."""
    from scipy import stats

    squares = variance * (count - 1)
    low, high = (float(stats.chi2.ppf(p, count - 1)) for p in (0.95, 0.05))
    return math.sqrt(squares / low), math.sqrt(squares / high)


def _replay(node: dict[str, Any], runs: list[list[float]], seeds: int) -> float:
    """The share of campaigns on these runs, in which nothing is better than anything, that confirm a gain."""
    rule = discover().build("decision", node)
    played = [play(rule, Repeated(seed, runs), _TRIALS, seeds) for seed in range(_CAMPAIGNS)]
    return sum(bool(one.certificate and one.certificate.confirmed) for one in played) / _CAMPAIGNS


def _said(found: dict[str, Any]) -> str:
    metric = found["metric"]
    seeds, aside = found["seeds"], found["set_aside"]
    lines = [
        f"A/A test of task {found['task']}: {found['runs']} runs that differ in their seed only, "
        f"{found['items']} items each",
        f"Seed noise: runs vary with standard deviation {found['seed_sd']:.4f} of {metric} (90 % interval "
        f"{found['seed_sd_low']:.4f} to {found['seed_sd_high']:.4f}); mean {found['mean']:.4f}.",
        f"Item noise: standard error {found['item_standard_error']:.4f}; mean squared difference of two runs on an "
        f"item {found['differing']:.3f}.",
        f"Luck alone: the best of these {found['runs']} equal runs is {found['luck']:+.4f} above their mean.",
        f"With {seeds} fresh seeds and {aside} items set aside, gains from {found['visible']:.4f} on are confirmed "
        f"four times in five.",
        f"To confirm a gain with 80 % power: seeds (with {aside} items), or items (with {seeds} seeds):",
    ]
    for row in found["gains"]:
        few = [f"{row[key]} {key}" if row[key] else f"no number of {key}" for key in ("seeds", "items")]
        lines.append(f"  {row['gain']:.3f}: {', or '.join(few)}")
    word = "keeps" if found["kept"] else "BREAKS"
    lines.append(
        f"Rule {found['rule']} {word} its promise here: {found['confirmed']:.1%} of {found['campaigns']} campaigns of "
        f"{found['campaign_trials']} trials, in which nothing was better than anything, confirmed a gain (promise: "
        f"{found['promise']:.0%})."
    )
    return "\n".join(lines)
