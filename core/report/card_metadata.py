"""The model card's YAML front matter, as the hub reads it."""

from typing import Any

from core.contracts import Evaluation, ModelFacts, Trial
from core.journal.facts import StudyFacts
from core.report.checkpoint import Checkpoint
from core.report.model import is_hub_name
from core.report.wording import printable


def front_matter(facts: StudyFacts, trial: Trial, checkpoint: Checkpoint, model: ModelFacts) -> str:
    """The block between the `---` lines (huggingface/hub-docs, modelcard.md), those lines included."""
    import yaml

    pipeline = model.pipeline_tag or checkpoint.pipeline_tag
    datasets = [name for name in model.datasets if is_hub_name(name)]
    block: dict[str, Any] = {
        "base_model": model.base_model if is_hub_name(model.base_model) else None,
        "base_model_relation": _relation(checkpoint) if is_hub_name(model.base_model) else None,
        "datasets": datasets,
        "license": model.license,
        "library_name": checkpoint.library,
        "pipeline_tag": pipeline,
        "tags": ["overnight", *model.tags],
        "metrics": [facts.study.objective.metric],
        "model-index": [_index(facts, trial, pipeline, datasets)],
    }
    kept = {key: value for key, value in block.items() if value}
    text: str = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---\n"


def _relation(checkpoint: Checkpoint) -> str:
    return "adapter" if checkpoint.kind == "adapter" else "finetune"


def _index(facts: StudyFacts, trial: Trial, pipeline: str | None, datasets: list[str]) -> dict[str, Any]:
    """What `model-index` says: one result per split. The hub's validator wants every key here."""
    data = datasets[0] if datasets else facts.study.task
    results = [
        {
            "task": {"type": pipeline or "other"},
            "dataset": {"type": data, "name": data, "split": evaluation.split},
            "metrics": [_metric(evaluation)],
        }
        for evaluation in (trial.test, trial.evaluation)
        if evaluation is not None
    ]
    return {"name": f"{printable(facts.study.name)}, trial {trial.number}", "results": results}


def _metric(evaluation: Evaluation) -> dict[str, Any]:
    range_ = f"n={evaluation.n}, 95 % {rounded(evaluation.low):g} to {rounded(evaluation.high):g}"
    how = "self-reported by the script" if evaluation.self_reported else range_
    said = f"{evaluation.metric} ({evaluation.split}, {how})"
    return {"type": evaluation.metric, "name": said, "value": rounded(evaluation.value)}


def rounded(value: float) -> float:
    """Four significant digits: finer than any interval, and no tail of a binary fraction."""
    return float(f"{value:.4g}")
