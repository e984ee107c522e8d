"""What `doctor` examines: the chosen executor's settings with the overrides given, the others' as installed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.config.arguments import GROUPS, parse
from core.config.check import check_overrides
from core.config.search_path import NAME, add_search_path
from core.contracts import Resources
from core.errors import UsageError
from core.plugins import Registry
from core.study.settings import ResourceSettings
from core.validation import validate


@dataclass(frozen=True)
class Node:
    """One executor's settings. problem: why they cannot be used as they are, or ""."""

    settings: dict[str, Any] = field(default_factory=dict)
    chosen: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Composed:
    """nodes: by executor name. resources: what one job of the study needs. studies: where they are kept."""

    nodes: dict[str, Node]
    resources: Resources
    studies: Path


def compose_executors(overrides: Sequence[str], registry: Registry) -> Composed:
    """Compose as a study would. Raises UsageError for arguments that fit no configuration."""
    add_search_path(registry.config_dirs)
    words = list(parse(overrides, GROUPS).overrides)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("conf", version_base="1.3"):
            composed = compose(NAME, overrides=words)
            chosen = _node(composed, chosen=True)
            nodes = {str(chosen.settings.get("name", "?")): chosen}
            for name in registry.names("executor"):
                nodes.setdefault(name, _default(name))
            resources = validate(ResourceSettings, _plain(composed.resources), "resources")
            studies = Path(str(composed.dir)).absolute().parent
    except (HydraException, OmegaConfBaseException) as error:
        check_overrides(words, registry)  # says it better, if it is about a name
        raise UsageError(" ".join(str(error).split())) from None
    return Composed(nodes, Resources(**resources.model_dump()), studies)


def _default(name: str) -> Node:
    if name not in GlobalHydra.instance().config_loader().get_group_options("executor"):
        return Node({"name": name})
    return _node(compose(NAME, overrides=[f"executor={name}"]))


def _node(composed: DictConfig, *, chosen: bool = False) -> Node:
    missing = ", ".join(f"executor.{key}" for key in sorted(OmegaConf.missing_keys(composed.executor)))
    try:
        settings = _plain(composed.executor)
    except OmegaConfBaseException as error:
        return Node({"name": composed.executor.get("name")}, chosen, " ".join(str(error).split()))
    return Node(settings, chosen, f"{missing} must be given" if missing else "")


def _plain(node: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
