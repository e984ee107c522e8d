"""What the two forms' training runs have in common: the trainer's arguments."""

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
