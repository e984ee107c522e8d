"""Runs a study, or one per combination of a sweep, from Hydra's arguments."""

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from core.commands.show import run_shown, show_comparison
from core.config.arguments import GROUPS, parse
from core.config.check import check_overrides, to_config
from core.config.search_path import NAME, PRIMARY, add_search_path
from core.errors import UsageError
from core.plugins import discover
from core.study.launch import create


def main(argv: Sequence[str]) -> int:
    """Compose, check, run. Returns the exit code: the worst one of a sweep."""
    registry = discover()
    add_search_path(registry.config_dirs)
    arguments = parse(argv, GROUPS)
    if arguments.check:
        check_overrides(arguments.overrides, registry, multirun=arguments.multirun)
    done: list[tuple[Path, int]] = []
    sys.argv = [sys.argv[0], *arguments.argv]

    @hydra.main(version_base="1.3", config_path=PRIMARY, config_name=NAME)
    def job(composed: DictConfig) -> int:
        code = study_job(composed)
        done.append((Path(HydraConfig.get().runtime.output_dir), code))
        if code > 128:
            raise SystemExit(code)  # a signal ends the whole sweep, not one study of it
        return code

    try:
        job()
    except OSError as error:
        raise UsageError(f"cannot write the study directory: {error}; choose another place with dir=PATH") from None
    if arguments.multirun and done:
        show_comparison([directory for directory, _ in done])
    return max((code for _, code in done), default=0)


def study_job(composed: DictConfig) -> int:
    """Run the study of one composed configuration in Hydra's output directory."""
    hydra_config = HydraConfig.get()
    directory = Path(hydra_config.runtime.output_dir)
    config = to_config(composed)
    config["dir"] = str(directory)
    multirun = hydra_config.mode == RunMode.MULTIRUN
    if multirun:
        print(f"\n[{hydra_config.job.num}] {hydra_config.job.override_dirname.replace(',', ' ')}", flush=True)
    registry = discover()
    return run_shown(config.get("console", "auto"), lambda watchers: create(config, directory, registry, watchers))
