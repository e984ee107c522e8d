"""What the two forms' training runs have in common: the trainer's arguments."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import TrainContext
from overnight_huggingface import recipe as recipes
from overnight_huggingface.compute import device_settings
from overnight_task_sft.f1.config import SftF1Config
from overnight_task_sft.f1.labelled import TrainingData

RECIPE = Path(__file__).with_name("recipe.py")
LOGGED = {"loss": "loss", "grad_norm": "grad_norm", "learning_rate": "learning_rate"}


def steps(texts: int, params: Mapping[str, Any]) -> int:
    """Optimiser steps of a run."""
    return int(-(-texts // params["batch_size"]) * params["epochs"])


def arguments(config: SftF1Config, texts: int, params: Mapping[str, Any], context: TrainContext) -> dict[str, Any]:
    """Keyword arguments of TrainingArguments: AdamW, warm-up, then a linear fall to 0; as the recipe has them."""
    made = {
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
    chosen: dict[str, Any] = recipes.load(context, RECIPE).recipe(made, dict(params))
    return chosen


def chosen_rows(data: TrainingData, params: Mapping[str, Any], context: TrainContext) -> TrainingData:
    """The training texts that the recipe wants."""
    rows = recipes.load(context, RECIPE).data(list(data.rows), dict(params))
    return replace(data, rows=tuple((str(text), int(label)) for text, label in rows))
