"""What `doctor` says of a Ray cluster: whether it answers, what it has, whether its nodes are reached."""

import socket

from core import Diagnosis, SetupError
from overnight_executor_ray import cluster
from overnight_executor_ray.api import Api
from overnight_executor_ray.config import RayConfig
from overnight_jobs.provider import ProviderError

_TRIED = 3
_CONNECT_S = 3.0


def diagnose(api: Api, config: RayConfig) -> list[Diagnosis]:
    """Starts nothing; every fault is one of the answers."""
    try:
        version, known = api.version(), cluster.nodes(api)
    except SetupError as error:
        return [Diagnosis("fail", str(error), f"export {config.token_env}=…")]
    except ProviderError as error:
        return [Diagnosis("fail", str(error), "start the cluster, or set executor.address to its dashboard")]
    found = [Diagnosis("ok" if known else "warn", f"Ray {version} at {api.address}: {_has(known)}")]
    if known and all(node.free is None for node in known):
        found.append(
            Diagnosis("warn", "the cluster does not say what is in use: jobs wait in Ray's queue, 15 minutes at most")
        )
    if config.node_url == RayConfig.model_fields["node_url"].default:
        far = [ip for ip in list(dict.fromkeys(node.ip for node in known))[:_TRIED] if not _reached(ip)]
        if far:
            found.append(
                Diagnosis(
                    "warn",
                    f"no connection from here to {', '.join(far)}: jobs are given their files on a port of their node",
                    "run the study inside the cluster's network, or set executor.node_url",
                )
            )
    if config.usd_per_hour:
        found.append(Diagnosis("ok", f"a GPU (of a job without: a core) counts ${config.usd_per_hour:g} an hour"))
    return found


def _has(known: list[cluster.Node]) -> str:
    def count(name: str) -> str:
        total = sum(node.total.get(name, 0.0) for node in known)
        free = sum((node.free or {}).get(name, 0.0) for node in known)
        unknown = any(node.free is None for node in known)
        return f"{total:g} {name}s" + ("" if unknown else f" ({free:g} free)")

    kinds = ", ".join(sorted({node.kind for node in known if node.kind}))
    return f"{len(known)} nodes, {count('CPU')}, {count('GPU')}" + (f" of kind {kinds}" if kinds else "")


def _reached(ip: str) -> bool:
    """Whether a packet comes back: a refused connection is an answer too."""
    try:
        with socket.create_connection((ip, 1), _CONNECT_S):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
