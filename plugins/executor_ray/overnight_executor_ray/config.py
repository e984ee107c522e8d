"""Settings of the Ray executor."""

import os
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from overnight_jobs.rented.settings import RentedSettings

_DEFAULT = "http://127.0.0.1:8265"


class RayConfig(RentedSettings):
    """address: of the cluster's Jobs API (its dashboard), null = RAY_API_SERVER_ADDRESS, or RAY_ADDRESS
    where that is an HTTP address, or this machine's port 8265. token_env: the environment variable with
    the cluster's token, sent as a bearer token where it is set. headers_env: further HTTP headers, by
    the environment variables that hold them. usd_per_hour: what one GPU (of a job without: one core)
    costs, 0 = owned. resources: custom resources that every job takes. autoscaling: the cluster adds
    nodes on demand: what no node has now is asked for all the same, and waits in Ray's queue. node_url:
    how a job's server is reached, from {ip}, {port} and {node} (its id). folder: where on a node jobs
    have their folders, null = its temporary folder. lag_s: seconds after which a submission whose answer
    was lost is not expected to appear any more.

    Others: see RentedSettings. requirements: none by default, nodes have what their
    jobs need. port: 0 = any that is free on the node. python: also runs the server."""

    address: str | None = None
    token_env: str = "RAY_AUTH_TOKEN"
    headers_env: dict[str, str] = Field(default_factory=dict)
    usd_per_hour: NonNegativeFloat = 0.0
    resources: dict[str, PositiveFloat] = Field(default_factory=dict)
    autoscaling: bool = False
    node_url: str = "http://{ip}:{port}"
    folder: str | None = None
    lag_s: NonNegativeFloat = 2.0
    requirements: Literal["auto", "none"] | str | tuple[str, ...] = "none"
    port: int = Field(default=0, ge=0, lt=65536)


def address(config: RayConfig) -> str:
    """Where the Jobs API is, without a slash at its end."""
    named = (config.address, os.environ.get("RAY_API_SERVER_ADDRESS"), os.environ.get("RAY_ADDRESS"))
    # RAY_ADDRESS may also name the cluster's own port, which does not speak HTTP.
    found = next((each for each in named if each and each.startswith(("http://", "https://"))), _DEFAULT)
    return (config.address or found).rstrip("/")


def headers(config: RayConfig) -> dict[str, str]:
    """HTTP headers that the environment has for the cluster."""
    found = {name: os.environ[variable] for name, variable in config.headers_env.items() if variable in os.environ}
    if token := os.environ.get(config.token_env):
        found.setdefault("Authorization", f"Bearer {token}")
    return found
