"""Makes a configuration safe to show: secrets out, everything else plain JSON."""

import math
import os
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

HIDDEN = "***"
_SECRET_WORDS = frozenset(
    {"token", "secret", "secrets", "password", "passwd", "passphrase", "credential", "credentials", "apikey"}
    | {"authorization", "bearer"}
)
_SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key")})
_USER_INFO = re.compile(r"(://)[^/@\s]+@")
_SHORTEST_SECRET = 8  # shorter values ("true", "1234") would blank out unrelated text


def redact(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `config` in which strings that look secret are replaced by "***".

    Hidden are: strings under a key that names a secret (api_key, hf_token, …), the value of any
    environment variable whose name does, wherever it occurs, and user:password in URLs.
    """
    known = [value for name, value in os.environ.items() if _names_a_secret(name) and len(value) >= _SHORTEST_SECRET]
    return {str(key): _clean(item, _names_a_secret(str(key)), known) for key, item in config.items()}


def _clean(value: Any, secret: bool, known: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _clean(item, secret or _names_a_secret(str(key)), known) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, secret, known) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = str(value)
    if secret and text:
        return HIDDEN
    for one in known:
        text = text.replace(one, HIDDEN)
    return _USER_INFO.sub(rf"\1{HIDDEN}@", text)


def _names_a_secret(key: str) -> bool:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", key)]
    return any(word in _SECRET_WORDS for word in words) or any(pair in _SECRET_PAIRS for pair in pairwise(words))
