"""The seal on messages over an open network: who sent them, unchanged, and not twice.

HMAC-SHA256 (RFC 2104) over a nonce, the boot of the server that it is meant for and the digest of
the message. A nonce begins with the time, so that a server need not remember all of them. A request
bears its seal in its head; an answer ends with it, so that it can be sent while it is made, and begins
with BEATs for as long as there is nothing of it yet. It hides nothing: use it inside TLS where the
content matters. Standard library only: loaded by path on the far side.
"""

import hashlib
import hmac
import secrets
import threading
import time

BOOT, NONCE, DIGEST, SEAL = "X-Overnight-Boot", "X-Overnight-Nonce", "X-Overnight-Digest", "X-Overnight-Seal"
BEAT = b"\n"
SIZE = 64  # bytes of a seal
_WINDOW_NS = 600 * 10**9


def seal(secret: str, kind: str, boot: str, nonce: str, digest: str) -> str:
    """The seal of a message. kind: "request" or "answer"; digest: sha256 of its bytes, in hex."""
    message = "\n".join((kind, boot, nonce, digest)).encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def intact(given: str | None, *expected: str) -> bool:
    """Whether a seal is what it should be, in constant time."""
    return hmac.compare_digest((given or "").encode(), seal(*expected).encode())


def nonce() -> str:
    """A nonce of now."""
    return f"{time.time_ns():x}-{secrets.token_hex(16)}"


class Nonces:
    """The nonces that a server has seen in the ten minutes before the newest of them; what is older is
    refused, so that no more has to be remembered."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._newest = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._seen)

    def fresh(self, nonce: str) -> bool:
        """Whether a nonce of an intact message is new; it is not from now on."""
        try:
            when = int(nonce.partition("-")[0], 16)
        except ValueError:
            return False
        with self._lock:
            if nonce in self._seen or when < self._newest - _WINDOW_NS:
                return False
            self._seen[nonce] = when
            self._newest = max(self._newest, when)
            while self._seen[first := next(iter(self._seen))] < self._newest - _WINDOW_NS:
                del self._seen[first]
            return True
