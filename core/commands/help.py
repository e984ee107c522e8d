"""Prints what can be typed: subcommands, config groups with their options, examples."""

import ast
import importlib.util
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

from core.commands import COMMANDS

_GROUP = "overnight"
_TEXT = """\
Overnight fine-tunes language models with reinforcement learning, on its own, while you sleep.

  python -m core                                     a study with the defaults, on this machine
  python -m core +task=NAME executor=NAME policy=NAME budget.trials=20 seed=1
  python -m core -m policy=random,tpe seed=1,2       one study per combination, then a comparison
  python -m core --cfg job                           print the configuration, run nothing

Commands (each has its own --help):
{commands}

Config groups (GROUP=OPTION; the task may be written +task=NAME too):
{groups}

Any setting is KEY=VALUE, e.g. budget.wall_clock_hours=8 dir=studies/mine console=plain.
All settings: python -m core --cfg job. Hydra's own options: python -m core --hydra-help.
"""


def print_help() -> None:
    """Print the help; imports neither Hydra nor any plugin's machinery, so that it is instant."""
    commands = "\n".join(f"  {name:<10} {_first_line(module)}" for name, module in COMMANDS.items())
    groups = "\n".join(f"  {name:<10} {', '.join(options)}" for name, options in sorted(_groups().items()))
    print(_TEXT.format(commands=commands, groups=groups), end="")


def _groups() -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    places = [files("conf")]
    for entry in entry_points(group=_GROUP):
        try:
            config_dirs = getattr(entry.load(), "config_dirs", list)
            places += [files(place.removeprefix("pkg://")) for place in config_dirs()]
        except Exception as error:  # noqa: BLE001 - a broken plugin must not break --help; `plugins` says more
            found.setdefault("(broken)", set()).add(f"{entry.name}: {type(error).__name__}; see python -m core plugins")
    for place in places:
        for group in place.iterdir():
            if group.is_dir():
                names = {Path(item.name).stem for item in group.iterdir() if item.name.endswith(".yaml")}
                if names:
                    found.setdefault(group.name, set()).update(names)
    return {group: sorted(names) for group, names in found.items()}


def _first_line(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
