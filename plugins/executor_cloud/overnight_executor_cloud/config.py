"""Settings of the cloud executor."""

from typing import Literal

from pydantic import Field, PositiveFloat

from core import PluginConfig
from overnight_jobs.rented.settings import RentedSettings


class BasilicaConfig(PluginConfig):
    """The key comes from BASILICA_API_TOKEN. api_url: "" = Basilica's own, or BASILICA_API_URL.
    usd_per_hour: of one GPU, null = as its price list says. cpu_usd_per_hour: of a machine without
    GPUs, for which the list has no price. geo, interconnect: as its SDK has them. lag_s: seconds
    after which its list of deployments is believed to be complete."""

    api_url: str = ""
    usd_per_hour: PositiveFloat | None = None
    cpu_usd_per_hour: PositiveFloat = 0.10
    geo: str | None = None
    interconnect: str | None = None
    lag_s: PositiveFloat = 10.0


class SkyPilotConfig(PluginConfig):
    """See overnight_executor_cloud.skypilot.SkyPilot."""

    api_url: str = "http://127.0.0.1:46580"
    infra: str | None = None
    max_hourly_cost: PositiveFloat | None = None
    token_env: str = "SKYPILOT_SERVICE_ACCOUNT_TOKEN"
    sky_command: str = "sky"
    reach: Literal["port", "ssh"] = "port"
    without_autodown: bool = False


class CloudConfig(RentedSettings):
    """provider: auto takes the one whose credentials are there. spot: machines that may be taken away,
    for less. basilica, skypilot: of that provider only. The rest: see the library's RentedSettings."""

    provider: Literal["auto", "basilica", "skypilot"] = "auto"
    gpu_types: tuple[str, ...] = ("A100", "H100")
    image: str | None = "pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime"
    spot: bool = False
    basilica: BasilicaConfig = Field(default_factory=BasilicaConfig)
    skypilot: SkyPilotConfig = Field(default_factory=SkyPilotConfig)
