"""The choice of a provider: by name, or the one whose credentials are there."""

import os
from collections.abc import Callable
from pathlib import Path

from core import SetupError
from overnight_executor_cloud.basilica import TOKEN, Basilica
from overnight_executor_cloud.config import CloudConfig
from overnight_executor_cloud.skypilot import SkyPilot
from overnight_jobs.provider import Provider

_SKY_URL = "SKYPILOT_API_SERVER_ENDPOINT"


def _basilica(config: CloudConfig) -> Provider:
    told = config.basilica
    return Basilica(
        config.image or "python:3.11-slim", told.api_url, config.spot, told.usd_per_hour, told.cpu_usd_per_hour,
        told.geo, told.interconnect, told.lag_s,
    )  # fmt: skip


def _skypilot(config: CloudConfig) -> Provider:
    told = config.skypilot
    return SkyPilot(
        infra=told.infra, spot=config.spot, api_url=os.environ.get(_SKY_URL) or told.api_url, token_env=told.token_env,
        sky_command=told.sky_command, max_hourly_cost=told.max_hourly_cost, reach=told.reach,
        without_autodown=told.without_autodown,
    )  # fmt: skip


PROVIDERS: dict[str, Callable[[CloudConfig], Provider]] = {"basilica": _basilica, "skypilot": _skypilot}


def choose(config: CloudConfig) -> Provider:
    """The provider of a configuration. Raises SetupError where none can be used, with the ways to get going."""
    if config.provider != "auto":
        return PROVIDERS[config.provider](config)
    if os.environ.get(TOKEN):
        return _basilica(config)
    if os.environ.get(_SKY_URL) or (Path.home() / ".sky" / "config.yaml").exists():
        return _skypilot(config)
    raise SetupError(
        "executor=cloud: there are no credentials of any provider, so nothing was started. Ways to get going:\n"
        f"  - Basilica: make an API token at basilica.ai, then: export {TOKEN}=…\n"
        "  - any other cloud or Kubernetes, through SkyPilot: `pip install skypilot` in an environment of its own, "
        f"`sky check`, `sky api start`, then: export {_SKY_URL}=http://127.0.0.1:46580\n"
        "  - machines that you already have: executor=ssh, executor=slurm, executor=ray, or executor=local"
    )
