"""Command-line arguments before Hydra sees them: what is an override, what passes through."""

from collections.abc import Sequence
from dataclasses import dataclass

GROUPS = ("task", "policy", "executor", "decision", "tracker", "budget", "guard")

# Hydra's flags that take a value of their own.
_WITH_VALUE = {
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn",
    "--config-dir", "-cd", "--experimental-rerun", "--info", "-i",
}  # fmt: skip
# Flags with which Hydra only shows itself: nothing is composed for a run, nothing to check.
_PASS_THROUGH = {"--hydra-help", "--version", "--shell-completion", "-sc", "--experimental-rerun"}


@dataclass(frozen=True)
class Arguments:
    """argv: for Hydra. overrides: those of it that configure. multirun: a sweep was asked for.
    shows_only: prints something and runs nothing. check: overrides are worth checking first."""

    argv: tuple[str, ...]
    overrides: tuple[str, ...]
    multirun: bool
    shows_only: bool
    check: bool


def parse(argv: Sequence[str], groups: Sequence[str]) -> Arguments:
    """Read the arguments. `+group=x` becomes `group=x` for groups that have a default: both work."""
    rewritten: list[str] = []
    overrides: list[str] = []
    flags: set[str] = set()
    skip = False
    for argument in argv:
        if skip:
            skip = False
        elif argument.startswith("-"):
            flag = argument.partition("=")[0]
            flags.add(flag)
            skip = flag in _WITH_VALUE and "=" not in argument
        else:
            key, equals, value = argument.partition("=")
            if equals and key.startswith("+") and not key.startswith("++") and key[1:] in groups:
                argument = f"{key[1:]}={value}"
            overrides.append(argument)
        rewritten.append(argument)
    if "--cfg" in flags or "-c" in flags:
        rewritten += _resolve(rewritten, flags)
    return Arguments(
        argv=tuple(rewritten),
        overrides=tuple(overrides),
        multirun=bool(flags & {"--multirun", "-m"}),
        shows_only=bool(flags & {"--cfg", "-c", "--info", "-i"}),
        check=not flags & _PASS_THROUGH,
    )


def _resolve(argv: Sequence[str], flags: set[str]) -> list[str]:
    """`--cfg job` is to show values, not interpolations (Hydra's own node has some that only a run can resolve)."""
    job = any(word in ("job", "--cfg=job", "-c=job") for word in argv)
    return ["--resolve"] if job and "--resolve" not in flags else []
