"""The words of Basilica's API: the JSON that basilica-sdk 0.36.8 accepts, field by field."""

from machines import stamp

_CODES = {
    400: "INVALID_REQUEST", 401: "AUTH_ERROR", 402: "INSUFFICIENT_BALANCE", 403: "AUTHZ_ERROR", 404: "NOT_FOUND",
    408: "TIMEOUT", 409: "CONFLICT", 429: "RATE_LIMIT", 500: "INTERNAL_ERROR", 503: "SERVICE_UNAVAILABLE",
}  # fmt: skip
_MESSAGES = {
    429: "Too many requests. Please try again later.", 500: "Internal server error: database",
    503: "Service temporarily unavailable",
}  # fmt: skip
NO_NODES = "No GPU nodes available"
_STATES = {
    "running": ("Active", "ready"),
    "waiting": ("Pending", "starting"),
    "failed": ("Failed", "failed"),
    "terminating": ("Terminating", "terminating"),
}
_MEMORY_GB = {"A100": 80, "H100": 80, "H200": 141, "B200": 192, "A6000": 48, "L40S": 48}


def error(status, message=None, code=None):
    """The body of a refusal; the SDK reads its code and message only if all four fields are there."""
    code = code or f"BASILICA_API_{_CODES.get(status, 'OTHER_ERROR')}"
    message = message or _MESSAGES.get(status, f"status {status}")
    return {"error": {"code": code, "message": message, "timestamp": stamp(), "retryable": status in (408, 502, 503)}}


def deployment(machine, base):
    """A deployment in full."""
    state, phase = _STATES.get(machine.stage, ("Pending", machine.phase()))
    ready = int(machine.stage == "running")
    shown = {
        **summary(machine, base), "state": state, "phase": phase, "userId": "u-1", "namespace": "u-u1",
        "image": machine.order["image"], "updatedAt": stamp(machine.updated_at), "message": None, "progress": None,
        "pods": [{"name": _pod(machine), "status": "Running" if ready else "Pending", "node": "node-1"}],
        "containerStatuses": _containers(machine), "phaseProgress": machine.restarts(),
    }  # fmt: skip
    return shown | machine.fate.get("show", {})


def created(machine, base):
    """The answer of a create: the only one with the share token of a private deployment."""
    more = {}
    if machine.share_token:
        token = machine.share_token
        more = {"shareToken": token, "shareUrl": f"{base}/d/{machine.id}?token={token}"}
    return deployment(machine, base) | more


def summary(machine, base):
    """A deployment in a list."""
    state, _ = _STATES.get(machine.stage, ("Pending", ""))
    shown = {
        "instanceName": machine.id, "friendlyName": machine.name, "state": state, "url": f"{base}/d/{machine.id}",
        "replicas": {"desired": 1, "ready": int(machine.stage == "running")}, "createdAt": stamp(machine.made_at),
        "public": not machine.share_token, "publicMetadata": False,
    }  # fmt: skip
    told = machine.fate.get("show", {})
    return shown | {field: told[field] for field in ("state", "replicas") if field in told}


def _pod(machine):
    return f"{machine.id[:8]}-{machine.pod}"


def _containers(machine):
    if machine.stage == "boot":
        return []
    state, reason, message = "running", None, None
    if machine.stage == "waiting":
        state, reason = "waiting", "CrashLoopBackOff"
        message = f"back-off restarting failed container, exit code {machine.exit_code}"
    elif machine.stage == "failed":
        state = "waiting" if machine.reason in ("ImagePullBackOff", "ErrImagePull") else "terminated"
        reason, message = machine.reason, f"container main: {machine.reason}"
    elif machine.stage == "terminating" and machine.process is not None and machine.process.poll() is not None:
        state, reason = "terminated", "Error" if machine.process.returncode else "Completed"
    return [
        {
            "podName": _pod(machine), "containerName": "main", "state": state, "reason": reason, "message": message,
            "restartCount": machine.restarts(),
        }
    ]  # fmt: skip


def offers(prices, left, query):
    """The price list. The SDK's `hourly_rate` is what is called hourly_rate_per_gpu here, a string."""
    nodes = []
    for kind, rate in sorted(prices.items()):
        model, _, spot = kind.partition(":")
        if model == "cpu":
            continue
        if (spot and query.get("exclude_spot") == "true") or (not spot and query.get("spot_only") == "true"):
            continue
        for count in (1, 2, 4, 8):
            available = left(model) >= count
            if available or query.get("available_only") != "true":
                nodes.append(_offer(model, count, rate, bool(spot), available))
    for field in ("interconnect", "region"):
        if field in query:
            nodes = [node for node in nodes if node[field].lower() == query[field].lower()]
    return {"nodes": nodes, "count": len(nodes)}


def _offer(model, count, rate, spot, available):
    return {
        "id": f"off-{model.lower()}-{count}{'-spot' if spot else ''}", "provider": "cyan", "gpu_type": model,
        "gpu_memory_gb_per_gpu": _MEMORY_GB.get(model, 24), "gpu_count": count, "interconnect": "SXM",
        "storage": "500", "deployment_type": "vm", "vcpu_count": 12 * count, "system_memory_gb": 96 * count,
        "region": "us-texas-1", "hourly_rate_per_gpu": f"{rate:.6f}", "hourly_rate": f"{rate * count:.6f}",
        "availability": available, "is_spot": spot, "fetched_at": stamp(),
    }  # fmt: skip


def usage(machines, query):
    """The history of bills, newest first."""
    first, count = int(query.get("offset", 0)), int(query.get("limit", 50))
    rows = [
        {
            "rental_id": machine.id, "node_id": "node-1", "status": "active" if machine.gone is None else "stopped",
            "hourly_rate": f"{machine.usd_per_hour:.6f}", "current_cost": f"{machine.usd():.6f}",
            "start_time": stamp(machine.made_at), "last_updated": stamp(),
        }
        for machine in reversed(machines)
    ]  # fmt: skip
    return {"rentals": rows[first : first + count], "total_count": len(rows)}
