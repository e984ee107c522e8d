"""Preflight of a fine-tuning run: what silently ruins it, measured on the training texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import Preflight
from overnight_huggingface.compute import device_memory_gb
from overnight_task_sft.f1 import training
from overnight_task_sft.f1.config import SftF1Config
from overnight_task_sft.f1.labelled import TextClassifier, TrainingData

# Shares above which training is doubtful or pointless: what is cut off is never seen.
_CUT = (0.25, 0.9)
_RARE = 0.1  # a rarer class than this hardly weighs in the loss (He & Garcia 2009, doi 10.1109/TKDE.2008.239)
_FEW_STEPS = 5
_MEMORY = (0.85, 1.0)


def measure(
    config: SftF1Config, form: TextClassifier, data: TrainingData, params: Mapping[str, Any], cache: Path
) -> Preflight:
    """Count tokens and classes, and estimate the memory, with the default params."""
    counts = sorted(form.token_counts([text for text, _ in data.rows], cache))
    length = params["max_length"]
    figures = {
        "texts": float(len(counts)),
        "steps": float(training.steps(len(counts), params)),
        "positive_share": data.positive_share(),
        "cut_share": sum(count > length for count in counts) / len(counts),
        "median_tokens": float(counts[len(counts) // 2]),
        "longest_tokens": float(counts[-1]),
        "memory_gb": form.memory_gb(data, counts[-1], params, cache),
        "device_memory_gb": device_memory_gb(),
    }
    cut, memory = figures["cut_share"], figures["memory_gb"] / figures["device_memory_gb"]
    too_long = (
        f"{cut:.0%} of the training texts are longer than {length} tokens and cut there (the longest has "
        f"{counts[-1]}): raise task.recipe.max_length"
    )
    too_big = (
        f"training needs about {figures['memory_gb']:.1f} GiB of {figures['device_memory_gb']:.1f} GiB: lower "
        f"task.recipe.batch_size or max_length, or set task.gradient_checkpointing=true"
        + (" or task.lora.rank=16" if config.form == "generative" else "")
    )
    warnings = [
        text for value, (low, high), text in ((cut, _CUT, too_long), (memory, _MEMORY, too_big)) if low <= value < high
    ]
    rare = min(figures["positive_share"], 1 - figures["positive_share"])
    if rare < _RARE and not config.balanced and "positive_weight" not in config.space:
        warnings.append(
            f"only {rare:.1%} of the training texts are of the rarer class: set task.balanced=true, or let the policy "
            f"choose positive_weight"
        )
    if figures["steps"] < _FEW_STEPS:
        warnings.append(
            f"a run has {figures['steps']:.0f} steps: lower task.recipe.batch_size or raise task.recipe.epochs"
        )
    refusals = [text for value, (_, high), text in ((cut, _CUT, too_long), (memory, _MEMORY, too_big)) if value >= high]
    return Preflight(figures, tuple(warnings), tuple(refusals))
