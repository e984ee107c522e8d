"""The Ray Jobs API over HTTP: one request, one answer, every fault told by its kind."""

from typing import Any

import httpx

from overnight_jobs.provider import CredentialsRefused, Lost, ProviderError


class Duplicate(ProviderError):
    """There is a job of this submission id."""


class NotThere(ProviderError):
    """There is no such job (any more)."""


class Api:
    """address: of the dashboard. Thread-safe."""

    def __init__(self, address: str, headers: dict[str, str], timeout_s: float) -> None:
        self.address = address
        self._client = httpx.Client(headers=headers, timeout=timeout_s, follow_redirects=True)

    def version(self) -> str:
        """Ray's version."""
        return str(self._object("GET", "/api/version").get("ray_version", "of an unknown version"))

    def nodes(self) -> list[dict[str, Any]]:
        """The living nodes with all their resources (10000 at most: Ray's own limit)."""
        alive = {"filter_keys": "state", "filter_predicates": "=", "filter_values": "ALIVE"}
        answer = self._object("GET", "/api/v0/nodes", params={"detail": "1", "limit": "10000", **alive})
        try:
            return [dict(node) for node in answer["data"]["result"]["result"]]
        except (KeyError, TypeError, ValueError) as error:
            raise Lost(f"{self.address} lists its nodes in a way that is not understood ({error!r})") from None

    def usage(self) -> dict[str, dict[str, Any]] | None:
        """By node id, what is used and how much there is of each resource; None: the cluster does
        not say. It is told every 5 seconds."""
        answer = self._object("GET", "/api/cluster_status")
        try:
            return dict(answer["data"]["clusterStatus"]["loadMetricsReport"]["usageByNode"])
        except (KeyError, TypeError, ValueError):
            return None

    def submit(self, job: dict[str, Any]) -> str:
        """Raises Duplicate where its submission id is taken."""
        return str(self._object("POST", "/api/jobs/", json=job).get("submission_id") or job["submission_id"])

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs that the cluster remembers."""
        found = self._json(self._answer("GET", "/api/jobs/"))
        if not isinstance(found, list):
            raise Lost(f"{self.address} lists its jobs as a {type(found).__name__}")
        return [job for job in found if isinstance(job, dict)]

    def job(self, submission_id: str) -> dict[str, Any] | None:
        """One job's details, None = there is none."""
        try:
            return self._object("GET", f"/api/jobs/{submission_id}")
        except NotThere:
            return None

    def logs(self, submission_id: str) -> str:
        """All that a job's entrypoint has said."""
        return str(self._object("GET", f"/api/jobs/{submission_id}/logs", timeout=5.0).get("logs") or "")

    def stop(self, submission_id: str) -> None:
        """Ask for a job's end. Raises NotThere."""
        self._object("POST", f"/api/jobs/{submission_id}/stop")

    def forget(self, submission_id: str) -> None:
        """Delete what is remembered of a job that has ended. Raises NotThere."""
        self._object("DELETE", f"/api/jobs/{submission_id}")

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    # Inside.

    def _object(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        found = self._json(self._answer(method, path, **more))
        if not isinstance(found, dict):
            raise Lost(f"{self.address}{path} answers with a {type(found).__name__}")
        return found

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise Lost(f"{answer.url} answers with something that is no JSON: {_short(answer.text)}") from None

    def _answer(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, self.address + path, **more)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ProviderError(f"there is no Ray cluster at {self.address} ({error})") from None
        except httpx.HTTPError as error:
            raise Lost(f"{method} {self.address}{path}: {type(error).__name__}: {error}") from None
        if answer.status_code in (401, 403):
            raise CredentialsRefused(
                f"the Ray cluster at {self.address} answers {answer.status_code}: {_short(answer.text)}; its token is"
                " expected in the environment variable that executor.token_env names"
            )
        if answer.status_code == 404:
            raise NotThere(_short(answer.text))
        if answer.status_code >= 400:
            # The API says both with a traceback: that an id is taken, and that it has broken down.
            if "already exists" in answer.text:
                raise Duplicate(_short(answer.text))
            kind = Lost if answer.status_code >= 500 else ProviderError
            raise kind(f"{method} {self.address}{path} answers {answer.status_code}: {_short(answer.text)}")
        return answer


def _short(text: str) -> str:
    """The last line that says something: tracebacks end with what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" .\t")]
    return lines[-1][:300] if lines else "nothing"
