"""Settings of the script task."""

from typing import Literal

from pydantic import Field

from core import PluginConfig, SpaceConfig

_EXCLUDE = (".git", ".venv", "__pycache__", "*.pyc", "wandb", "results.tsv", "run.log")


class ScriptConfig(PluginConfig):
    """folder: with the scripts. metric, direction: of the figure they print. prepare, train,
    evaluate, program: file names, null = there is none; evaluate "auto" is evaluate.py if there is
    one, null the score that train prints. train_args: added to train's command line. constants:
    write a trial's parameters over train's top-level constants of their names in capitals, in the
    run's copy. python or command: what runs a script. time_budget_s: told to train.
    exclude: patterns of what is not copied. sealed: what only evaluate is given. editable: files that a
    patch may change, null = train alone. required_calls: names that a patch must leave called or defined.
    stop_grace_s: seconds from a stop request to SIGTERM, and from there to SIGKILL."""

    folder: str | None = None
    metric: str = Field(default="score", min_length=1)
    direction: Literal["maximize", "minimize"] = "maximize"
    space: SpaceConfig = Field(default_factory=dict)
    prepare: str | None = "prepare.py"
    train: str = "train.py"
    evaluate: str | None = "auto"
    program: str | None = "program.md"
    train_args: tuple[str, ...] = ()
    constants: bool = False
    python: str | None = None
    command: tuple[str, ...] | None = None
    cli_overrides: Literal["none", "flags", "hydra"] = "none"
    time_budget_s: float | None = Field(default=None, gt=0)
    env: dict[str, str] = Field(default_factory=dict)
    exclude: tuple[str, ...] = _EXCLUDE
    sealed: tuple[str, ...] = ()
    editable: tuple[str, ...] | None = None
    required_calls: tuple[str, ...] = ()
    stop_grace_s: float = Field(default=10.0, ge=0)
