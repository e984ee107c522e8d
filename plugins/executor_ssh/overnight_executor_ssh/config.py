"""Settings of the ssh executor: the hosts, and how jobs run on them."""

import re
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from core import PluginConfig

Auto = Literal["auto"]
_ADDRESS = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^@:\s]+)(?::(?P<port>\d+))?")


class HostSettings(PluginConfig):
    """One host. host: a name, an address or an alias of the person's ssh configuration; port and user:
    null = as that says. slots, gpus, python, root: null = as the executor's own settings say."""

    host: str = Field(min_length=1)
    port: int | None = Field(default=None, gt=0, lt=65536)
    user: str | None = None
    slots: Auto | PositiveInt | None = None
    gpus: Auto | tuple[NonNegativeInt, ...] | None = None
    python: str | None = None
    root: str | None = None

    @property
    def name(self) -> str:
        """What the host is called in records and messages: [user@]host[:port]."""
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{user}{host}{f':{self.port}' if self.port else ''}"


class SshConfig(PluginConfig):
    """hosts: "user@host:port" or mappings {host, port, user, slots, gpus, python, root}. slots: jobs at
    once on each host. gpus: ids to hand out. python: an interpreter on the hosts that has all that
    jobs need; auto: one is made there, of `requirements` (a list, a file's path; auto: what is
    installed here), installed by pip with `pip_args`. root: the folder on the hosts. key, known_hosts:
    files, null = as ssh has it. connect_timeout_s: seconds. silence_s: seconds without an answer
    after which a host's jobs count as lost. mirror_s: seconds between copies of partial checkpoints.
    env: for jobs, by name; write no secrets here. keep_env: variables of the host's own that jobs may
    see. max_log_mb: MiB that a job's log may take. memory_gb, disk_gb: GiB of one job, max_processes
    with threads; null: no limit; auto: as `resources` says. usd_per_hour: US dollars for one job's
    hour. threads_per_slot, confine: see the local executor."""

    hosts: tuple[HostSettings, ...] = ()
    slots: Auto | PositiveInt = "auto"
    gpus: Auto | tuple[NonNegativeInt, ...] = "auto"
    threads_per_slot: Auto | PositiveInt = "auto"
    python: str = "auto"
    requirements: str | tuple[str, ...] = "auto"
    pip_args: tuple[str, ...] = ()
    root: str = Field(default="~/.overnight", min_length=1)
    key: str | None = None
    known_hosts: str | None = None
    connect_timeout_s: PositiveFloat = 10.0
    silence_s: PositiveFloat = 120.0
    mirror_s: PositiveFloat = 120.0
    usd_per_hour: NonNegativeFloat = 0.0
    env: dict[str, str] = Field(default_factory=dict)
    keep_env: tuple[str, ...] = ()
    max_log_mb: PositiveFloat = 16.0
    memory_gb: Auto | PositiveFloat | None = "auto"
    max_processes: PositiveInt | None = None
    disk_gb: PositiveFloat | None = None
    confine: Literal["auto", "off"] = "auto"

    @field_validator("hosts", mode="before")
    @classmethod
    def _addresses(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("a list of hosts is needed, e.g. [me@gpu1, me@gpu2:2222]")
        return [_parsed(each) if isinstance(each, str) else each for each in value or ()]

    @field_validator("hosts")
    @classmethod
    def _distinct(cls, value: tuple[HostSettings, ...]) -> tuple[HostSettings, ...]:
        names = [host.name for host in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"named twice: {', '.join(twice)}; give a host more slots instead")
        return value

    def of(self, host: HostSettings) -> HostSettings:
        """A host's settings with nothing left open but port and user."""
        own = host.model_dump()
        shared = {"slots": self.slots, "gpus": self.gpus, "python": self.python, "root": self.root}
        return HostSettings(**{**own, **{key: value for key, value in shared.items() if own[key] is None}})


def _parsed(address: str) -> dict[str, Any]:
    found = _ADDRESS.fullmatch(address.strip())
    if found is None:
        raise ValueError(f"{address!r} is no host: write user@host or user@host:port")
    return {"host": found["host"].strip("[]"), "user": found["user"], "port": found["port"] and int(found["port"])}
