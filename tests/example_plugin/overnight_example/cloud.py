"""Executor `example_cloud`: machines by the second from the small cloud of the fault tests (HTTP)."""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import shutil
import tarfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

from core import Ambiguous, Caps, Handle, Manifest, NotYet, Observation, Offer, PluginConfig, Reaped, SetupError

_STATES = {
    "queued": "queued", "provisioning": "provisioning", "running": "running", "stopping": "running",
    "preempted": "preempted", "expired": "lost",
}  # fmt: skip
_MARGIN_S = 0.2  # a listing is believed this much later than its lag
_LONGEST_PAUSE_S = 5.0


class CloudError(Exception):
    """The cloud's answer is an error, or there is none. made: whether it may have acted all the same."""

    def __init__(self, text, status=0, made=False, body=None):
        super().__init__(text)
        self.status, self.made, self.body = status, made, body or {}


class CloudExecutor:
    """Rents one machine for each job and deletes it after it."""

    class Config(PluginConfig):
        """url: of the cloud. key_file: holds the key, read at every call. slots: machines at once.
        lag_s: how late a new machine may appear in a listing. provision_s: how long a machine may
        take to boot. timeout_s: how long one request may take."""

        url: str = "http://127.0.0.1:1"
        key_file: str = ""
        slots: int = 2
        lag_s: float = 1.0
        provision_s: float = 300.0
        timeout_s: float = 20.0

    def __init__(self, config, workspace):
        self._config = config
        self._workspace = workspace
        self._prices = {}
        self._lock = threading.Lock()
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def caps(self):
        return Caps(slots=self._config.slots, detached=True, priced=True)

    def offers(self, request):
        found = self._json("GET", "/offers?" + urlencode({"gpus": request.gpus}))
        rows = sorted(found, key=lambda row: (row["available"] == 0, row["usd_per_hour"]))
        offers = [Offer(row["hardware"], float(row["usd_per_hour"]), row["available"]) for row in rows]
        with self._lock:
            self._prices = {offer.hardware: offer.usd_per_hour for offer in offers[:1]}
        return offers

    def submit(self, job, token):
        with self._lock:
            prices = dict(self._prices)
        if not prices:
            self.offers(job.resources)
            prices = dict(self._prices)
        hardware, price = next(iter(prices.items()))
        order = {
            "key": token, "token": token, "tag": job.owner, "command": list(job.command), "env": job.env,
            "deadline_s": job.deadline_s, "grace_s": job.grace_s, "ttl_s": job.deadline_s + job.grace_s,
            "outputs": list(job.outputs), "files": _packed(job.files),
            "hardware": hardware, "max_usd_per_hour": price,
        }  # fmt: skip
        try:
            return Handle(token, self._json("POST", "/machines", json.dumps(order).encode())["id"])
        except CloudError as error:
            if error.status == 410:  # this job had its machine, which is gone: `poll` says so
                return Handle(token, error.body["id"])
            if error.made:
                raise Ambiguous(f"{token}: {error}") from error
            raise

    def find(self, token):
        # A listing that lags says nothing about the last lag_s seconds: absent only if still absent then.
        owner = token.partition("/")[0]
        end = time.monotonic() + self._config.lag_s + _MARGIN_S
        while True:
            over = time.monotonic() >= end
            for row in self._listed(owner):
                if row["token"] == token:
                    return Handle(token, row["id"])
            if over:
                return None
            time.sleep(0.1)

    def poll(self, handles):
        return [self._observe(handle) for handle in handles]

    def logs(self, handle, offset, stream="log"):
        query = urlencode({"stream": stream, "offset": offset})
        try:
            data = self._call("GET", f"/machines/{handle.id}/logs?{query}")
        except CloudError as error:
            if error.status == 404:
                return b"", offset
            raise
        return data, offset + len(data)

    def fetch(self, handle, dest):
        partial = dest.with_name(dest.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            data = self._call("GET", f"/machines/{handle.id}/artefacts")
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                tar.extractall(partial, filter="data")
        except CloudError as error:
            if error.status != 404:  # else: nothing is left of the machine, so nothing is brought
                raise
        shutil.rmtree(dest, ignore_errors=True)
        partial.rename(dest)
        found = sorted(path for path in dest.rglob("*") if path.is_file())
        return Manifest({str(p.relative_to(dest)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found})

    def cancel(self, handle, grace_s):
        if not self._deleted(handle.id, grace_s):
            raise NotYet(handle.token)

    def reap(self, owner, live):
        reaped, quiet = [], time.monotonic() + self._config.lag_s + _MARGIN_S
        while True:
            over = time.monotonic() >= quiet
            stale = [row for row in self._listed(owner) if row["token"] not in live]
            for row in stale:
                self._deleted(row["id"], 0.0)
                if row["token"] not in reaped:
                    reaped.append(row["token"])
            if stale:
                quiet = time.monotonic() + self._config.lag_s + _MARGIN_S
            elif over:
                return Reaped(tuple(reaped))
            time.sleep(0.05)

    def _listed(self, owner):
        return self._json("GET", "/machines?" + urlencode({"tag": owner}))

    def _deleted(self, machine, grace_s):
        try:
            _, status = self._answer("DELETE", f"/machines/{machine}?" + urlencode({"grace_s": grace_s}))
        except CloudError as error:
            if error.status == 404:
                return True
            raise
        return status == 200

    def _observe(self, handle):
        try:
            row = self._json("GET", f"/machines/{handle.id}")
        except CloudError as error:
            if error.status == 404:
                return Observation(handle.token, "lost", reason="the machine is gone")
            raise
        state, reason, code = _STATES.get(row["status"], "unknown"), row["reason"], row["exit_code"]
        if row["status"] == "exited":
            state = "succeeded" if code == 0 and row["result"] else "failed"
        elif state == "unknown":
            reason = f"the cloud says {row['status']!r}"
        elif state == "provisioning" and row["seconds"] > self._config.provision_s:
            state, reason = "lost", f"no machine was ready within {self._config.provision_s:g} s"
        return Observation(handle.token, state, code, reason, row["seconds"], row["usd"], row["hardware"])

    def _json(self, method, path, body=None):
        data = self._call(method, path, body)
        try:
            return json.loads(data)
        except ValueError:
            raise CloudError(f"{method} {path}: an answer that is no JSON: {data[:40]!r}", made=True) from None

    def _call(self, method, path, body=None):
        return self._answer(method, path, body)[0]

    def _answer(self, method, path, body=None):
        """(body, status), after waiting as long as the cloud asks for, within reason."""
        for _ in range(3):
            try:
                return self._once(method, path, body)
            except CloudError as error:
                pause = error.body.get("retry_after")
                if pause is None or pause > _LONGEST_PAUSE_S:
                    raise
                last = error
                time.sleep(pause)
        raise last

    def _once(self, method, path, body):
        key = Path(self._config.key_file).read_text().strip() if self._config.key_file else ""
        request = urllib.request.Request(
            self._config.url + path, body, {"Authorization": f"Bearer {key}"}, method=method
        )
        try:
            with self._opener.open(request, timeout=self._config.timeout_s) as answer:
                data = answer.read()
                if hashlib.sha256(data).hexdigest() != answer.headers["X-Sha256"]:
                    raise CloudError(f"{method} {path}: an answer with a wrong checksum", made=True)
                return data, answer.status
        except urllib.error.HTTPError as error:
            raise _refusal(f"{method} {path}", error) from None
        except (OSError, http.client.HTTPException) as error:
            raise CloudError(f"{method} {path}: {type(error).__name__}: {error}", made=True) from None


def _refusal(what, error):
    body = {}
    with contextlib.suppress(ValueError, OSError, http.client.HTTPException):
        body = dict(json.loads(error.read()))
    if error.code == 401:
        return SetupError(f"executor.key_file: the cloud refuses the key ({body.get('message', 'no reason given')})")
    with contextlib.suppress(KeyError, TypeError, ValueError):
        body["retry_after"] = float(error.headers["Retry-After"])
    text = f"{what}: {error.code} {body.get('code', '')} {body.get('message', '')}".strip()
    return CloudError(text, error.code, error.code >= 500, body)


def _packed(files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, source in files.items():
            tar.add(source.resolve(), name)
    return base64.b64encode(data.getvalue()).decode()
