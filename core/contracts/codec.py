"""Value types to JSON and back, so that a journal or a job file can carry them."""

import json
import math
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

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


def unknown_fields(kind: type, plain: Any) -> list[str]:
    """Which fields of what `to_plain` made are not in the value type `kind` (a dataclass), by dotted
    name: a newer version wrote them. Looks into the dataclasses that are fields themselves."""
    if not isinstance(plain, dict):
        return []
    known = _known_fields(kind)
    found = [name for name in plain if name not in known]
    for name, inner in known.items():
        if inner is not None and name in plain:
            found += [f"{name}.{field}" for field in unknown_fields(inner, plain[name])]
    return found


_fields: dict[type, dict[str, type | None]] = {}


def _known_fields(kind: type) -> dict[str, type | None]:
    """Field name → the dataclass that the field holds, if it holds one."""
    if kind not in _fields:
        hints = get_type_hints(kind)
        _fields[kind] = {field.name: dataclass_in(hints[field.name]) for field in fields(kind)}
    return _fields[kind]


def dataclass_in(hint: Any) -> type | None:
    """The dataclass that a type hint names, alone or as `X | None`; None for any other hint."""
    choices = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    found = [choice for choice in choices if isinstance(choice, type) and is_dataclass(choice)]
    return found[0] if len(found) == 1 else None


def _finite(plain: Any) -> Any:
    if isinstance(plain, float) and not math.isfinite(plain):
        return str(plain)
    if isinstance(plain, dict):
        return {key: _finite(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [_finite(item) for item in plain]
    return plain
