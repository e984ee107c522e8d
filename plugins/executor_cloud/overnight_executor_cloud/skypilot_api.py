"""SkyPilot's API server over plain HTTP: requests, their results, its errors. Nothing is ever unpickled."""

import json
import os
import re
from typing import Any

import httpx

from overnight_jobs.provider import CredentialsRefused, Lost, ProviderError, StockOut

API_VERSION = "62"  # of SkyPilot 0.14.1, the version this was written against
_ACTIVE = frozenset({"PENDING", "RUNNING", "WAITING"})
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_REQUEST_FIELDS = ["request_id", "name", "status", "cluster_name", "created_at", "finished_at"]
_REFUSED = frozenset(
    {
        "ApiServerAuthenticationError",
        "CloudUserIdentityError",
        "ClusterOwnerIdentityMismatchError",
        "InvalidCloudConfigs",
        "InvalidCloudCredentials",
        "NoCloudAccessError",
        "NoWorkspaceAccessError",
        "PermissionDeniedError",
        "UserRequestRejectedByPolicy",
    }
)


class Unreachable(ProviderError):
    """No API server answers; nothing was asked of it."""


class StillGoing(Exception):
    """A request has no result yet."""


class RequestFailed(ProviderError):
    """A request ended in an error. kind: the name of SkyPilot's exception class."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        self.message = plain(message)
        super().__init__(f"SkyPilot: {self.kind}: {self.message[:600]}")


def plain(text: str) -> str:
    """SkyPilot's text as one line, without colours and hints."""
    text = _ANSI.sub("", text).split("\nHint:")[0].split("\nTo fix:")[0]
    return " ".join(text.split())


def verdict(failed: RequestFailed) -> ProviderError | CredentialsRefused:
    """What a failed launch means: StockOut, CredentialsRefused, or ProviderError."""
    said = failed.message
    if failed.kind in _REFUSED or "not enabled" in said or "No cloud is enabled" in said:
        return CredentialsRefused(
            f"{failed}. Run `sky check` on the API server's machine, and set up the cloud's access."
        )
    if failed.kind != "ResourcesUnavailableError" or "are not supported" in said or "Catalog does not contain" in said:
        return ProviderError(str(failed))
    return StockOut(said[:600])


class Api:
    """A client of one API server; thread-safe.

    url: such as http://127.0.0.1:46580. token_env: the environment variable with a service
    account's token, for a server that asks for one. timeout_s: for one HTTP answer.
    """

    def __init__(self, url: str, token_env: str, timeout_s: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self.token_env = token_env
        headers = {"X-SkyPilot-API-Version": API_VERSION}
        if token := os.environ.get(token_env):
            headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = timeout_s
        near = re.match(r"https?://(127\.|localhost|\[::1\])", self.url) is not None  # no proxy leads here
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s, trust_env=not near)

    def health(self) -> dict[str, Any]:
        """Status, version and API version of the server. Raises Unreachable, Lost, CredentialsRefused."""
        found = self._json(self._send("GET", "/api/health"))
        if not isinstance(found, dict) or "api_version" not in found:
            raise Lost(f"What answers at {self.url} is no SkyPilot API server.")
        return found

    def start(self, path: str, body: dict[str, Any] | None = None) -> str:
        """Ask for something and return the request's id at once. body None: a GET.

        Raises Lost where the server may have taken the request.
        """
        answer = self._send("GET" if body is None else "POST", path, body=body)
        request_id: str | None = answer.headers.get("x-skypilot-request-id")
        if not request_id:
            raise Lost(f"What answers at {self.url}{path} is no SkyPilot API server.")
        return request_id

    def result(self, request_id: str, timeout_s: float | None = None) -> Any:
        """The value of a request; waits for it. Raises StillGoing after `timeout_s`, RequestFailed."""
        limit = self._timeout_s if timeout_s is None else timeout_s
        try:
            answer = self._send("GET", "/api/get", params={"request_id": request_id}, timeout_s=limit, failures=True)
        except Lost as lost:
            if isinstance(lost.__cause__, httpx.ReadTimeout):
                raise StillGoing(request_id) from lost
            raise
        found = self._json(answer)
        if answer.status_code != 200 and isinstance(found, dict):
            found = found.get("detail")
        if not isinstance(found, dict) or "return_value" not in found:
            raise RequestFailed("RequestUnknown", f"request {request_id}: {answer.status_code} {answer.text[:200]}")
        try:
            error = json.loads(found.get("error") or "null")
            if error:  # its "object" is pickled, and stays closed
                raise RequestFailed(str(error.get("type")), str(error.get("message")))
            if found.get("status") == "CANCELLED":
                raise RequestFailed("RequestCancelled", f"request {request_id} was cancelled")
            return json.loads(found["return_value"])
        except (ValueError, AttributeError, TypeError) as garbage:
            raise Lost(f"The API server's answer to {request_id} cannot be read: {garbage}") from garbage

    def call(self, path: str, body: dict[str, Any] | None = None, timeout_s: float | None = None) -> Any:
        """`start` and `result`. For what changes nothing: a lost answer is a ProviderError."""
        try:
            return self.result(self.start(path, body), timeout_s)
        except StillGoing as slow:
            raise ProviderError(f"SkyPilot's API server has not answered {path} yet.") from slow
        except Lost as lost:
            raise ProviderError(str(lost)) from lost

    def output(self, request_id: str) -> str:
        """What a request has printed, without colours."""
        try:
            answer = self._send("GET", "/api/stream", params={"request_id": request_id, "format": "plain"})
        except Lost as lost:
            raise ProviderError(str(lost)) from lost
        return _ANSI.sub("", answer.text)

    def requests(self, cluster: str | None = None) -> list[dict[str, Any]]:
        """Requests, newest first: all of one cluster's, or everybody's that go on. Their names
        begin with "sky."; see `active`."""
        params: dict[str, Any] = {"fields": _REQUEST_FIELDS, "limit": 1000}
        if cluster is not None:
            params |= {"cluster_name": cluster, "all_status": "true"}
        try:
            found = self._json(self._send("GET", "/api/status", params=params))
        except Lost as lost:
            raise ProviderError(str(lost)) from lost
        if not isinstance(found, list):
            raise ProviderError("The API server's list of requests cannot be read.")
        rows = [
            row for row in found if isinstance(row, dict) and (cluster is None or row.get("cluster_name") == cluster)
        ]
        return sorted(rows, key=lambda row: float(row.get("created_at") or 0), reverse=True)

    def cancel(self, request_ids: list[str]) -> None:
        """Stop requests that go on."""
        self.call("/api/cancel", {"request_ids": request_ids})

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        timeout_s: float | None = None,
        failures: bool = False,
    ) -> httpx.Response:
        timeout = self._timeout_s if timeout_s is None else timeout_s
        try:
            answer = self._http.request(method, path, json=body, params=params, timeout=timeout)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise Unreachable(f"No SkyPilot API server answers at {self.url}: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Lost(f"No answer from SkyPilot's API server to {path}: {type(error).__name__} {error}") from error
        status = answer.status_code
        if status in (401, 403) or answer.is_redirect:
            raise CredentialsRefused(
                f"SkyPilot's API server at {self.url} asks for a login ({status}): put a service account's token "
                f"into {self.token_env}."
            )
        if status == 200 or (failures and status in (404, 500)):
            return answer
        said = f"SkyPilot's API server answered {path} with {status}: {plain(answer.text)[:200]}"
        raise (Lost(said) if status >= 500 and status != 503 else ProviderError(said))

    @staticmethod
    def _json(answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError as garbage:
            raise Lost(f"The answer to {answer.request.url.path} is not JSON: {answer.text[:100]!r}") from garbage


def active(request: dict[str, Any]) -> bool:
    """Whether a request of `Api.requests` goes on."""
    return request.get("status") in _ACTIVE
