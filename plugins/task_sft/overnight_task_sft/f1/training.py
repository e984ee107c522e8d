"""What the two forms' training runs have in common: the trainer's arguments and the memory they need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import TrainContext
from overnight_huggingface.compute import device_settings
from overnight_task_sft.f1.config import SftF1Config

LOGGED = {"loss": "loss", "grad_norm": "grad_norm", "learning_rate": "learning_rate"}


def steps(texts: int, params: Mapping[str, Any]) -> int:
    """Optimiser steps of a run."""
    return int(-(-texts // params["batch_size"]) * params["epochs"])


def arguments(config: SftF1Config, texts: int, params: Mapping[str, Any], context: TrainContext) -> dict[str, Any]:
    """Keyword arguments of TrainingArguments: AdamW, warm-up, then a linear fall to 0."""
    return {
        "output_dir": str(Path(context.checkpoint_dir).with_name("trainer")),
        "learning_rate": params["learning_rate"],
        "num_train_epochs": params["epochs"],
        "per_device_train_batch_size": params["batch_size"],
        "weight_decay": params["weight_decay"],
        "max_grad_norm": params["max_grad_norm"],
        "warmup_steps": round(steps(texts, params) * params["warmup_share"]),
        "lr_scheduler_type": "linear",
        "train_sampling_strategy": "group_by_length",
        "gradient_checkpointing": config.gradient_checkpointing,
        "seed": context.seed,
        "data_seed": context.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # the guard must see what is not finite
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        **device_settings(config.dtype),
    }


def memory_gb(
    config: SftF1Config, shape: Any, weights: int, trained: int, tokens: int, logits: int, batch: int
) -> float:
    """An estimate of the peak memory of training, in GiB.

    Weights, and gradients and Adam's two moments of the trained ones (4 bytes each, float32);
    activations of 34·s·b·h per layer at 2 bytes (Korthikanti et al. 2022, arXiv 2205.05198, without
    attention scores), one layer's share of it with gradient checkpointing; logits and their
    gradient in float32. shape: the model's config. tokens: of one text, prompt included. logits:
    how many a text.
    """
    hidden, layers = shape.hidden_size, shape.num_hidden_layers
    activations = 34 * tokens * batch * hidden * layers * 4 / 2
    if config.gradient_checkpointing:
        activations = activations / layers + 2 * tokens * batch * hidden * layers
    return float(4 * weights + 12 * trained + activations + 2 * 4 * batch * logits) / 2**30
