"""Rows: value types as short JSON lists, their fields in order, quick to read by the hundred thousand."""

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from core.contracts.codec import dataclass_in, to_plain

T = TypeVar("T")


class Row(Generic[T]):
    """A dataclass to a list of its fields' values and back.

    Nothing is validated, for speed: it is for data whose checksum was verified. Tuples of scalars
    come back as tuples; a tuple of dataclasses is refused unless it is empty. `layout` says which
    fields in which order: data of another layout must not be decoded.
    """

    def __init__(self, kind: Callable[..., T]) -> None:
        assert isinstance(kind, type)
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)]
        self._kind = kind
        self._get = attrgetter(*names)
        nested = {i: dataclass_in(hints[name]) for i, name in enumerate(names)}
        self._nested: list[tuple[int, Row[Any]]] = [(i, Row(found)) for i, found in nested.items() if found]
        self._tuples = [i for i, name in enumerate(names) if get_origin(hints[name]) is tuple]
        self._any = [i for i, name in enumerate(names) if Any in get_args(hints[name])]
        inner = {names[i]: row.layout for i, row in self._nested}
        parts = [f"{name}={inner.get(name, hints[name])}" for name in names]
        self.layout: str = f"{kind.__name__}({', '.join(parts)})"

    def encode(self, value: T) -> list[Any]:
        """The list; its values are JSON's, NaN and infinities included."""
        row = list(self._get(value))
        for i, inner in self._nested:
            if row[i] is not None:
                row[i] = inner.encode(row[i])
        for i in self._any:
            row[i] = to_plain(row[i])
        return row

    def decode(self, row: list[Any]) -> T:
        """The value; uses up the list. Raises TypeError for a list of another length."""
        for i, inner in self._nested:
            if row[i] is not None:
                row[i] = inner.decode(row[i])
        for i in self._tuples:
            row[i] = tuple(row[i])
        value: T = self._kind(*row)
        return value
