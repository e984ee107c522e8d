"""The agent's transport over HTTP: sealed messages to a machine that was rented for one job."""

import hashlib
import tempfile
from typing import BinaryIO

import httpx

from overnight_jobs.far.seal import BEAT, BOOT, DIGEST, NONCE, SEAL, SIZE, intact, nonce, seal
from overnight_jobs.far_side import FarGone

_CHUNK = 1 << 20
_RELAY = 10e6  # bytes a second at which whoever stands between passes a message on that was taken whole


class OtherBoot(FarGone):
    """The machine was started again since: what ran there is lost."""


class HttpTransport:
    """url: of the machine's server. secret: shared with it. boot: which start of it is meant, "" =
    whichever answers first. timeout_s: without a sign of life; the server gives one every second while it
    works, so that the work itself, and the transfer, may take as long as they do."""

    def __init__(self, url: str, secret: str, boot: str = "", timeout_s: float = 30.0) -> None:
        self._url, self._secret, self.boot = url.rstrip("/") + "/", secret, boot
        # No proxy of the environment: the machine is named by its provider, or stands on this network.
        self._timeout_s = timeout_s
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=True)

    def hello(self) -> str:
        """The boot of the server that answers. Raises FarGone where none does (yet)."""
        try:
            answer = self._client.get(self._url + "health")
        except httpx.HTTPError as error:
            raise FarGone(f"{type(error).__name__}: {error}") from None
        boot = answer.headers.get(BOOT)
        if answer.status_code != 200 or not boot:
            raise FarGone(f"it answers {answer.status_code}, which is none of ours")
        return str(boot)

    def exchange(self, message: BinaryIO) -> BinaryIO:
        """See overnight_jobs.far_side.Transport. A connection that was kept open may have been closed
        meanwhile by whoever stands between: that is seen at its next use, and another is made once."""
        self.boot = self.boot or self.hello()
        try:
            return self._exchange(message)
        except httpx.RemoteProtocolError:
            message.seek(0)
        try:
            return self._exchange(message)
        except httpx.RemoteProtocolError as error:
            raise FarGone(f"{type(error).__name__}: {error}") from None

    def _exchange(self, message: BinaryIO) -> BinaryIO:
        digest, number = hashlib.file_digest(message, "sha256").hexdigest(), nonce()
        size = message.tell()
        message.seek(0)
        headers = {
            NONCE: number,
            DIGEST: digest,
            SEAL: seal(self._secret, "request", self.boot, number, digest),
            "Content-Length": str(size),
            "Content-Type": "application/octet-stream",
        }
        timeout = httpx.Timeout(self._timeout_s, read=self._timeout_s + size / _RELAY)
        begun = False
        taken = tempfile.SpooledTemporaryFile(8 * _CHUNK)  # noqa: SIM115 - the caller closes it
        try:
            with self._client.stream(
                "POST",
                self._url,
                headers=headers,
                content=iter(lambda: message.read(_CHUNK), b""),
                timeout=timeout,
            ) as answer:
                begun = True
                boot = answer.headers.get(BOOT, "")
                if boot and boot != self.boot:
                    raise OtherBoot(f"the machine started again (boot {boot}, not {self.boot})")
                if answer.status_code != 200:
                    said = answer.read()[:200].decode(errors="replace")
                    raise FarGone(f"it answers {answer.status_code}: {said}")
                found, tail = hashlib.sha256(), b""
                for data in answer.iter_bytes(_CHUNK):
                    tail = tail + data if taken.tell() else (tail + data).lstrip(BEAT)
                    ready, tail = tail[:-SIZE], tail[-SIZE:]
                    found.update(ready)
                    taken.write(ready)
                expected = (self._secret, "answer", self.boot, number, found.hexdigest())
                if not intact(tail.decode(errors="replace"), *expected):
                    raise FarGone("an answer that was cut or changed on its way")
        except httpx.HTTPError as error:
            taken.close()
            if isinstance(error, httpx.RemoteProtocolError) and not begun:
                raise
            raise FarGone(f"{type(error).__name__}: {error}") from None
        except BaseException:
            taken.close()
            raise
        taken.seek(0)
        return taken  # type: ignore[return-value]

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
