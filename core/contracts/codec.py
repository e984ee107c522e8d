"""Value types to JSON and back, so that a journal or a job file can carry them."""

import json
import math
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


_adapters: dict[Any, TypeAdapter[Any]] = {}  # building one costs about a millisecond


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def to_plain(value: Any) -> Any:
    """Turn a value type into JSON-ready dicts, lists and scalars.

    NaN and infinities become the strings "nan", "inf", "-inf": JSON has no word for them, and
    `from_plain` reads the strings back as floats.
    """
    return _finite(_adapter(type(value)).dump_python(value, mode="json"))


def from_plain(kind: type[T], plain: Any) -> T:
    """Build a `kind` from what `to_plain` made. Raises pydantic.ValidationError if it does not fit."""
    value: T = _adapter(kind).validate_python(plain)
    return value


def dumps(value: Any) -> str:
    """`to_plain`, then compact strict JSON text."""
    return json.dumps(to_plain(value), separators=(",", ":"), allow_nan=False)


def _finite(plain: Any) -> Any:
    if isinstance(plain, float) and not math.isfinite(plain):
        return str(plain)
    if isinstance(plain, dict):
        return {key: _finite(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [_finite(item) for item in plain]
    return plain
