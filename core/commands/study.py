"""Runs a study, or one per combination of a sweep, from Hydra's arguments."""

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from core.commands.show import End, run_shown
from core.commands.sweep import Launch, run_study, run_sweep
from core.config.arguments import GROUPS, parse
from core.config.check import check_overrides, to_config
from core.config.search_path import NAME, PRIMARY, add_search_path
from core.errors import UsageError
from core.journal.store import FILENAME
from core.plugins import discover
from core.study.launch import create, resume


def main(argv: Sequence[str]) -> int:
    """Compose, check, run. Returns the exit code: the worst one of a sweep."""
    registry = discover()
    add_search_path(registry.config_dirs)
    arguments = parse(argv, GROUPS)
    if arguments.multirun and arguments.shows_only:
        raise UsageError("--cfg and --info show one configuration: leave out --multirun (-m) and the sweep")
    if arguments.check:
        check_overrides(arguments.overrides, registry, multirun=arguments.multirun)
    codes: list[int] = []
    launch = Launch.here(arguments.overrides)
    sys.argv = [sys.argv[0], *arguments.argv]

    # Launchers carry it into other processes: there it has a copy of `codes`.
    @hydra.main(version_base="1.3", config_path=PRIMARY, config_name=NAME)
    def job(composed: DictConfig) -> int:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return run_study(lambda alone, again: study_job(composed, alone=alone, again=again), launch)
        codes.append(study_job(composed).code)
        return codes[-1]

    try:
        if arguments.multirun:
            return run_sweep(job)
        job()
    except OSError as error:
        raise UsageError(f"cannot write the study directory: {error}; choose another place with dir=PATH") from None
    return max(codes, default=0)


def study_job(composed: DictConfig, *, alone: bool = True, again: bool = False) -> End:
    """Run the study of one composed configuration in Hydra's output directory.

    alone: nothing else writes on this terminal. again: it may have been started here before.
    """
    directory = Path(HydraConfig.get().runtime.output_dir)
    config = to_config(composed)
    config["dir"] = str(directory)
    kind = config.get("console", "auto")
    if not alone and kind in ("auto", "live"):
        kind = "plain"
    registry = discover()
    if again and (directory / FILENAME).exists():
        return run_shown(kind, lambda watchers: resume(directory, registry, watchers))
    return run_shown(kind, lambda watchers: create(config, directory, registry, watchers))
