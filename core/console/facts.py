"""Facts for programs: what `--json` prints."""

from collections.abc import Sequence
from typing import Any

from core.contracts import Evaluation, Trial
from core.contracts.codec import to_plain
from core.journal.facts import StudyFacts
from core.report.verdict import baseline_of, certificate_of, difference, estimate_of, incumbent_of, judge, noise_of


def status_json(facts: StudyFacts) -> dict[str, Any]:
    """Everything about one study as JSON-ready data."""
    study, verdict = facts.study, judge(facts)
    return {
        "id": study.id,
        "name": study.name,
        "directory": str(study.directory),
        "state": facts.state,
        "finished": study.finished,
        "task": study.task,
        "policy": study.policy,
        "executor": study.executor,
        "seed": study.seed,
        "objective": to_plain(study.objective),
        "verdict": {"sentence": verdict.sentence, "caveats": list(verdict.caveats), "confirmed": verdict.good},
        "estimate": to_plain(found) if (found := estimate_of(facts)) else None,
        "certificate": to_plain(made) if (made := certificate_of(facts)) else None,
        "noise": to_plain(noise) if (noise := noise_of(facts)) else None,
        "certification": facts.certification,
        "set_aside": facts.set_aside,
        "fresh_seeds": list(facts.fresh),
        "incumbent": study.incumbent,
        "preflight": to_plain(facts.preflight) if facts.preflight else None,
        "running": {str(number): phase for number, phase in facts.phases.items()},
        "plan": facts.plan,
        "jobs": [to_plain(job) for job in facts.jobs],
        "spent": {
            "trials": _proposed(facts),
            "seconds": study.seconds,
            "usd": study.usd,
            "gpu_hours": study.gpu_hours,
            "policy_usd": facts.policy_usd,
        },
        "limits": to_plain(facts.limits),
        "test_opened": list(facts.test_opened),
        "test_openings": facts.test_openings,
        "controllers": facts.controllers,
        "notices": [to_plain(notice) for notice in facts.notices],
        "trials": [to_plain(trial) for trial in study.trials],
    }


def comparison_json(studies: Sequence[StudyFacts]) -> list[dict[str, Any]]:
    """One object per study, for `compare --json`."""
    rows = []
    for facts in studies:
        baseline, best = baseline_of(facts), incumbent_of(facts)
        gain = None
        if baseline and best and baseline.test and best.test:
            gain = to_plain(difference(best.test, baseline.test, facts.study.objective))
        rows.append(
            {
                "directory": str(facts.study.directory),
                "name": facts.study.name,
                "task": facts.study.task,
                "policy": facts.study.policy,
                "seed": facts.study.seed,
                "state": facts.state,
                "trials": _proposed(facts),
                "completed": sum(t.status == "completed" for t in facts.study.trials if t.number),
                "baseline_test": _plain(baseline),
                "incumbent": facts.study.incumbent,
                "incumbent_test": _plain(best),
                "gain": gain,
                "confirmed": bool(best and best.confirmed),
                "self_reported": bool(baseline and baseline.evaluation and baseline.evaluation.self_reported),
                "seconds": facts.study.seconds,
                "usd": facts.study.usd,
            }
        )
    return rows


def _plain(trial: Trial | None) -> Any:
    found: Evaluation | None = trial.test if trial else None
    return to_plain(found) if found else None


def _proposed(facts: StudyFacts) -> int:
    return sum(1 for trial in facts.study.trials if trial.number)
