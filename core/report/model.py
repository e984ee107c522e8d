"""What a study's task knows about its models, also where the task's plugin is not installed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.contracts import DescribesModel, ModelFacts, Study
from core.errors import OvernightError
from core.plugins import discover

# The hub's rule for names (huggingface_hub.utils.validate_repo_id), with the owner made obligatory.
_HUB_NAME = re.compile(r"[\w\-.]{1,96}/[\w\-.]{1,96}", re.ASCII)
_MODEL_KEYS = ("model", "base_model", "model_name", "model_name_or_path")
_DATA_KEYS = ("data", "dataset", "dataset_name")


@dataclass(frozen=True)
class Described:
    """facts: of the models. doubt: why they may be incomplete, or ""."""

    facts: ModelFacts
    doubt: str = ""


def describe(study: Study) -> Described:
    """Ask the task; where that cannot be, read what the recorded configuration shows."""
    node = {key: value for key, value in (study.config.get("task") or {}).items() if key != "rewards"}
    try:
        task = discover().build("task", node)
        if isinstance(task, DescribesModel):
            return Described(task.model_facts())
        doubt = f"task {study.task} does not describe its models"
    except OvernightError:
        doubt = f"the plugin of task {study.task} was not at hand or no longer takes the study's settings"
    except Exception as error:  # noqa: BLE001 - a card with less in it is better than none, and says so
        doubt = f"task {study.task} could not describe its models ({type(error).__name__})"
    return Described(_recorded(node), f"{doubt}; base model and data are as recorded in the study's configuration")


def is_hub_name(name: str | None) -> bool:
    """Whether this is a name on the hub (owner/name) rather than a place on this machine."""
    if not name or not _HUB_NAME.fullmatch(name) or ".." in name or "--" in name or name.endswith(".git"):
        return False
    return name[0] not in ".-" and not Path(name).exists()


def shown_name(name: str) -> str:
    """A model's or dataset's name without this machine's folders."""
    return name if is_hub_name(name) else Path(name).name or name


def merged(facts: ModelFacts, base: str | None) -> ModelFacts:
    """The same facts with the base model that an adapter names, where the task names none."""
    return replace(facts, base_model=base) if facts.base_model is None and base else facts


def _recorded(node: Mapping[str, Any]) -> ModelFacts:
    def first(keys: tuple[str, ...]) -> str | None:
        return next((value for key in keys if isinstance(value := node.get(key), str) and value), None)

    data = first(_DATA_KEYS)
    return ModelFacts(base_model=first(_MODEL_KEYS), datasets=(data,) if data else ())
