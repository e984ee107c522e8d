"""The seal on messages over an open network: who sent them, unchanged, and not twice.

HMAC-SHA256 (RFC 2104) over a nonce, the boot of the server that it is meant for and the digest of
the message. It hides nothing: use it inside TLS where the content matters. Standard library only:
loaded by path on the far side.
"""

import hashlib
import hmac

BOOT, NONCE, DIGEST, SEAL = "X-Overnight-Boot", "X-Overnight-Nonce", "X-Overnight-Digest", "X-Overnight-Seal"


def seal(secret: str, kind: str, boot: str, nonce: str, digest: str) -> str:
    """The seal of a message. kind: "request" or "answer"; digest: sha256 of its bytes, in hex."""
    message = "\n".join((kind, boot, nonce, digest)).encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def intact(given: str | None, *expected: str) -> bool:
    """Whether a seal is what it should be, in constant time."""
    return hmac.compare_digest(given or "", seal(*expected))
