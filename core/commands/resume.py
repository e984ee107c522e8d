"""Continues an interrupted study from its journal."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.commands.arguments import Parser
from core.commands.show import run_shown
from core.errors import UsageError
from core.plugins import discover
from core.study.launch import read_facts, resume
from core.suggest import listing

# What may change in the middle of a study: how far and where it runs, not what it is.
_CHANGEABLE = (
    "budget",
    "executor",
    "deadline",
    "retries",
    "max_failures",
    "poll_s",
    "grace_s",
    "console",
    "trackers",
    "guard",
)


def main(argv: list[str]) -> int:
    """`resume DIR [budget.trials=20 …]`."""
    parser = Parser(prog="python -m core resume", description=__doc__)
    parser.add_argument("dir", type=Path, help="the study directory")
    parser.add_argument("overrides", nargs="*", help=f"changes, e.g. budget.trials=20; of: {', '.join(_CHANGEABLE)}")
    arguments = parser.parse_args(argv)
    config = read_facts(arguments.dir).study.config
    changed = _change(config, arguments.overrides)
    kind = str(changed.get("console", "auto"))
    return run_shown(
        kind,
        lambda watchers: resume(arguments.dir, discover(), watchers, lambda old: _change(old, arguments.overrides)),
    )


def _change(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or key.partition(".")[0] not in _CHANGEABLE:
            raise UsageError(f"{override}: cannot be changed on resume. Can be: {listing(_CHANGEABLE)} (as key=value)")
    try:
        merged = OmegaConf.merge(OmegaConf.create(config), OmegaConf.from_dotlist(overrides))
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise UsageError(f"cannot apply {' '.join(overrides)}: {error}") from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
