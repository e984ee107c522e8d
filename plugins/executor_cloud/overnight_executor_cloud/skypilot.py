"""The provider `skypilot`: machines of any cloud, Kubernetes or Slurm, through the person's SkyPilot API server."""

import re
import time
from collections.abc import Sequence
from typing import Any, Literal

from core import Diagnosis
from overnight_executor_cloud.skypilot_api import Api, RequestFailed, StillGoing, Unreachable, active, verdict
from overnight_executor_cloud.skypilot_names import (
    PORT_LABEL,
    WITHOUT_AUTODOWN,
    Hardware,
    cluster_name,
    machine_name,
    prefix,
    task_text,
)
from overnight_executor_cloud.skypilot_quotes import Market, Terms, Wanted
from overnight_executor_cloud.skypilot_tunnel import Tunnels
from overnight_jobs.provider import (
    CredentialsRefused,
    Machine,
    MachineState,
    Program,
    ProviderError,
    Quote,
    StockOut,
)

_TESTED = "0.14."


class SkyPilot:
    """One machine = one SkyPilot cluster of one node with one task; its id is the cluster's name.

    infra: where to look, such as "aws", "verda/FIN-01", "kubernetes/context", "slurm/cluster"; None =
    wherever `sky check` found access. spot: rent interruptible machines. max_hourly_cost: US
    dollars, of one machine. api_url: the API server that a person runs (`sky api start`).
    token_env: the environment variable with its service account token, where it asks for one.
    reach: "port" asks the cloud to open the program's port; "ssh" tunnels to it, which needs
    `sky_command` (the person's own `sky`) and works where ports cannot be opened (Slurm, Verda).
    without_autodown: also use clouds that cannot delete a machine by themselves: nothing then
    bounds the bill if this side never comes back. settle_s: how long `create` waits for a quick no.
    """

    name = "skypilot"
    lag_s = 10.0
    least_ttl_s = 60.0

    def __init__(
        self,
        infra: str | None = None,
        spot: bool = False,
        api_url: str = "http://127.0.0.1:46580",
        token_env: str = "SKYPILOT_SERVICE_ACCOUNT_TOKEN",
        sky_command: str = "sky",
        max_hourly_cost: float | None = None,
        reach: Literal["port", "ssh"] = "port",
        without_autodown: bool = False,
        settle_s: float = 5.0,
        timeout_s: float = 30.0,
    ) -> None:
        self._api = Api(api_url, token_env, timeout_s)
        self._terms = Terms(infra, spot, max_hourly_cost, reach == "port", without_autodown)
        self._market = Market(self._api, self._terms)
        self._tunnels = Tunnels(sky_command, self._api.url, token_env) if reach == "ssh" else None
        self._settle_s = settle_s
        self._urls: dict[str, str] = {}  # cluster's hash -> url

    def diagnose(self) -> Sequence[Diagnosis]:
        """Whether the API server is there, has access to clouds, and what one GPU costs."""
        try:
            health = self._api.health()
        except Unreachable as error:
            todo = "Start it with `sky api start` (pip install skypilot, in an environment of its own), or set api_url."
            return [Diagnosis("fail", str(error), todo)]
        except (ProviderError, CredentialsRefused) as error:
            return [Diagnosis("fail", str(error), "Check api_url and the token.")]
        version = str(health.get("version"))
        found = [Diagnosis("ok", f"SkyPilot's API server {version} answers at {self._api.url}.")]
        if not version.startswith(_TESTED):
            found.append(Diagnosis("warn", f"Only SkyPilot {_TESTED}x was tried, not {version}."))
        if self._tunnels is not None and (missing := self._tunnels.missing()):
            found.append(Diagnosis("fail", f"Not found: {', '.join(missing)}.", "Install it, or set sky_command."))
        try:
            infras = self._market.infras()
            offers = self._market.quotes(Wanted(None, 1, 1.0, None)) if infras else []
        except (ProviderError, CredentialsRefused) as error:
            return [*found, Diagnosis("fail", str(error), "Run `sky check` on the API server's machine.")]
        if not infras:
            todo = "Run `sky check`; for a cloud without autodown set without_autodown; spot excludes owned clusters."
            return [*found, Diagnosis("fail", "No cloud is left that may be used.", todo)]
        found.append(Diagnosis("ok", f"It may use {', '.join(infras)}."))
        if risky := [infra for infra in infras if infra.split("/")[0].lower() in WITHOUT_AUTODOWN]:
            said = f"{', '.join(risky)} cannot delete machines without this side: nothing bounds a lost machine's bill."
            found.append(Diagnosis("warn", said, "Look at `sky status` after a crash."))
        if offers:
            best = offers[0]
            found.append(Diagnosis("ok", f"One GPU at best: {best.hardware}, ${best.usd_per_hour:.2f} an hour."))
        else:
            todo = "Raise max_hourly_cost, or set reach: ssh where the cloud opens no ports."
            found.append(Diagnosis("warn", f"No machine with one GPU can be had. {self._market.refused}".strip(), todo))
        return found

    def quotes(self, gpu_type: str | None, gpus: int, cpus: float, memory_gb: float | None) -> Sequence[Quote]:
        """Kinds of machines that the optimiser agrees to, cheapest first."""
        return self._market.quotes(Wanted(gpu_type, gpus, cpus, memory_gb))

    def create(self, name: str, tag: str, quote: Quote, program: Program, ttl_s: float) -> str:
        """Ask for a cluster; the same name never starts two. A refusal that comes after `settle_s`
        shows in `machine` as "gone" or "stopped", with a reason that begins with "stock-out:",
        "credentials:" or "launch-failed:"."""
        limit = self._terms.max_hourly_cost
        hardware = Hardware.parse(quote.hardware)
        if hardware is None or (limit is not None and quote.usd_per_hour > limit):
            raise ProviderError(f"{quote.hardware} at ${quote.usd_per_hour} an hour is no offer of this provider's.")
        cluster = cluster_name(tag, name)
        if self._clusters([cluster]) or any(active(row) for row in self._launches(cluster)):
            return cluster
        text = task_text(cluster, tag, hardware, program, ttl_s, open_port=self._terms.open_port)
        request_id = self._api.start("/launch", {"task": text, "cluster_name": cluster, "retry_until_up": False})
        try:
            self._api.result(request_id, self._settle_s)
        except RequestFailed as failed:
            self._raise_unless_made(cluster, failed)
        except (StillGoing, ProviderError, CredentialsRefused):
            pass  # it was taken; `machine` tells the rest
        return cluster

    def machines(self, tag: str) -> Sequence[Machine]:
        """All clusters of a study, and those whose launch is under way."""
        begins = prefix(tag)
        going = [str(row.get("cluster_name")) for row in self._api.requests() if _launch(row) and active(row)]
        records = [record for record in self._clusters(None) if record["name"].startswith(begins)]
        known = {record["name"] for record in records}
        new = [cluster for cluster in dict.fromkeys(going) if cluster.startswith(begins) and cluster not in known]
        costs = self._costs(records)
        found = [self._machine(record, costs, record["name"] in going) for record in records]
        return found + [Machine(cluster, machine_name(cluster), "provisioning") for cluster in new]

    def machine(self, machine_id: str) -> Machine | None:
        """One cluster; also one that could not be started, as long as the server remembers why."""
        launches = self._launches(machine_id)
        going = any(active(row) for row in launches)
        if records := self._clusters([machine_id]):
            return self._machine(records[0], self._costs(records), going)
        if going:
            return Machine(machine_id, machine_name(machine_id), "provisioning")
        if launches and launches[0].get("status") == "FAILED":
            return Machine(machine_id, machine_name(machine_id), "gone", reason=self._why(launches[0]))
        return None

    def bill(self, machine_id: str) -> float | None:
        """SkyPilot keeps estimates, no bills."""
        return None

    def ended(self, since: float, until: float, usd_per_hour: float) -> dict[str, float]:
        """See overnight_jobs.provider.Provider: a cluster's name is its identity, none is ever unknown."""
        return {}

    def delete(self, machine_id: str) -> bool:
        """Stop what would start it, then take it down; True once neither is left."""
        rows = self._api.requests(machine_id)
        if starting := [str(row["request_id"]) for row in rows if _launch(row) and active(row)]:
            self._api.cancel(starting)
        if any(row.get("name") == "sky.down" and active(row) for row in rows):
            return False
        try:
            self._api.call("/down", {"cluster_name": machine_id})
        except RequestFailed as failed:
            if failed.kind != "ClusterDoesNotExist":
                raise
        except ProviderError:  # it goes on, or the answer was lost
            return False
        if self._tunnels is not None:
            self._tunnels.close(machine_id)
        return not self._clusters([machine_id]) and not any(active(row) for row in self._launches(machine_id))

    def _clusters(self, names: list[str] | None) -> list[dict[str, Any]]:
        """Records as of the server's last look, which it takes every minute."""
        body = {"cluster_names": names, "include_credentials": False, "include_handle": False, "summary_response": True}
        found = self._api.call("/status", body)
        if not isinstance(found, list):
            raise ProviderError("SkyPilot's list of clusters cannot be read.")
        return [record for record in found if isinstance(record, dict) and isinstance(record.get("name"), str)]

    def _launches(self, cluster: str) -> list[dict[str, Any]]:
        return [row for row in self._api.requests(cluster) if _launch(row)]

    def _costs(self, records: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
        """Cluster's hash → US dollars and seconds, by SkyPilot's catalogue."""
        hashes = [record["cluster_hash"] for record in records]
        if not hashes:
            return {}
        rows = self._api.call("/cost_report", {"days": None, "cluster_hashes": hashes})
        return {
            row["cluster_hash"]: (float(row.get("total_cost") or 0), float(row.get("duration") or 0)) for row in rows
        }

    def _machine(self, record: dict[str, Any], costs: dict[str, tuple[float, float]], going: bool) -> Machine:
        cluster = record["name"]
        now = max(0.0, time.time() - float(record.get("launched_at") or time.time()))
        usd, seconds = costs.get(record["cluster_hash"], (0.0, now))
        state, reason = self._state(record, going)
        url = None
        if state == "running":
            try:
                url = self._url(record)
            except ProviderError as error:  # not reachable yet, or no more
                reason = str(error)
        gpu = re.match(r"\{'(.+?)': (\d+)", str(record.get("accelerators")))
        where = f"{record.get('cloud') or '?'}/{record.get('region') or '?'}".lower()
        hardware = f"{f'{gpu[1]}:{gpu[2]}' if gpu else 'cpu'} on {where}"
        return Machine(cluster, machine_name(cluster), state, url, hardware, usd, seconds, reason)

    def _state(self, record: dict[str, Any], going: bool) -> tuple[MachineState, str]:
        """SkyPilot calls a cluster UP, or INIT for ever, whose launch broke off: it holds, and bills,
        what it had got, and runs nothing. That is "stopped" here."""
        status, said = str(record.get("status")), str(record.get("init_status_reason") or "")
        if going:
            return "provisioning", said
        if status in ("STOPPED", "AUTOSTOPPING"):
            return "stopped", status.lower()
        launches = self._launches(record["name"])
        if launches and active(launches[0]):
            return "provisioning", said
        if launches and launches[0].get("status") != "SUCCEEDED":
            return "stopped", self._why(launches[0])
        unbounded = not record.get("to_down") and str(record.get("cloud")).lower() not in WITHOUT_AUTODOWN
        if not launches and (unbounded or record.get("init_kind") == "launching"):  # autodown is set last
            return "stopped", "launch-failed: the API server was restarted during the launch"
        return ("running", "") if status == "UP" else ("unknown", said)

    def _url(self, record: dict[str, Any]) -> str | None:
        cluster, key = record["name"], record["cluster_hash"]
        port = int((record.get("labels") or {}).get(PORT_LABEL, Program(()).port))
        if self._tunnels is not None:
            return self._tunnels.url(cluster, port)
        if key not in self._urls:
            found = self._api.call("/endpoints", {"cluster": cluster, "port": port})
            if not isinstance(found, dict) or not (endpoint := str(found.get(str(port)) or "")):
                return None
            self._urls[key] = endpoint if "://" in endpoint else f"http://{endpoint}"
        return self._urls[key]

    def _raise_unless_made(self, cluster: str, failed: RequestFailed) -> None:
        """A launch that failed may hold a machine all the same: then `machine` tells, and it can be deleted."""
        try:
            made = bool(self._clusters([cluster]))
        except (ProviderError, CredentialsRefused):
            made = True
        if not made:
            raise verdict(failed) from failed

    def _why(self, launch: dict[str, Any]) -> str:
        try:
            self._api.result(str(launch["request_id"]))
        except RequestFailed as failed:
            meant = verdict(failed)
            word = "stock-out" if isinstance(meant, StockOut) else "launch-failed"
            return f"{'credentials' if isinstance(meant, CredentialsRefused) else word}: {failed.message[:600]}"
        except (StillGoing, ProviderError) as error:
            return f"launch-failed: {error}"
        return ""


def _launch(request: dict[str, Any]) -> bool:
    return request.get("name") == "sky.launch"
