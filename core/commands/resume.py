"""Continues an interrupted study from its journal."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.commands.arguments import Parser, study_dirs
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
    """`resume DIR… [--open-test-again] [budget.trials=20 …]`: several studies one after the other,
    finished ones passed over."""
    parser = Parser(prog="python -m core resume", description=__doc__)
    parser.add_studies()
    # For usage and --help alone: argparse cannot tell a directory from a change, `=` does below.
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="KEY=VALUE", help=f"changes: of {', '.join(_CHANGEABLE)}"
    )
    parser.add_argument(
        "--open-test-again",
        action="store_true",
        help="let a finished study go on although its test split was looked at; the report says so for ever",
    )
    arguments = parser.parse_args(argv)
    words = [str(word) for word in (*arguments.dirs, *arguments.overrides)]
    overrides = [word for word in words if "=" in word and not Path(word).exists()]
    given = [Path(word) for word in words if word not in overrides]
    if not given:
        parser.error("the study directory is missing")
    found = study_dirs(given)
    if len(found) == 1:
        return _resume(found[0], overrides, again=arguments.open_test_again)
    if arguments.open_test_again:
        parser.error("--open-test-again is for one study at a time")
    for directory in found:
        if finished := read_facts(directory).study.finished:
            print(f"{directory} is finished ({finished}): passed over")
        elif code := _resume(directory, overrides):
            return code
    return 0


def _resume(directory: Path, overrides: list[str], *, again: bool = False) -> int:
    config = read_facts(directory).study.config
    kind = str(_change(config, overrides).get("console", "auto"))
    end = run_shown(
        kind, lambda watchers: resume(directory, discover(), watchers, lambda old: _change(old, overrides), again=again)
    )
    return end.code


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
