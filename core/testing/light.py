"""Checks shared by the suites: plugins are light to name and their YAML is complete."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from core.contracts import PluginConfig
from core.plugins import discover

HEAVY = ("torch", "transformers", "trl", "datasets", "wandb", "litellm", "optuna", "ray", "sky")

_PROBE = """
import sys
from core.plugins import discover
registry = discover()
registry.load({kind!r}, {name!r})
print(",".join(name for name in {heavy!r} if name in sys.modules))
"""


def heavy_imports(kind: str, name: str) -> list[str]:
    """Which heavy packages merely loading the plugin's class imports, in a fresh interpreter."""
    script = _PROBE.format(kind=kind, name=name, heavy=HEAVY)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return [module for module in found.stdout.strip().split(",") if module]


def missing_in_yaml(kind: str, name: str) -> set[str]:
    """Differences between the plugin's `conf/<kind>/<name>.yaml` and its `Config`'s fields.

    A key that only one side knows cannot be set from the command line, or is refused there.
    """
    from omegaconf import OmegaConf

    registry = discover()
    model = getattr(registry.load(kind, name), "Config", PluginConfig)
    path = config_file(registry.config_dirs, kind, name)
    if path is None:
        return {f"conf/{kind}/{name}.yaml does not exist"}
    node: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    if "name" not in node and isinstance(node.get(kind), dict):  # a file that sets more than its own group
        node = node[kind]
    keys = set(node) - {"name"} - ({"rewards"} if kind == "task" else set())
    return keys ^ set(model.model_fields)


def config_file(config_dirs: list[str], kind: str, name: str) -> Path | None:
    """The YAML file of a plugin on the given Hydra search paths."""
    from importlib.resources import files

    for place in config_dirs:
        path = Path(str(files(place.removeprefix("pkg://")))) / kind / f"{name}.yaml"
        if path.is_file():
            return path
    return None
