"""Writes a trial's parameters over a script's top-level constants, as autoresearch's agent does by hand."""

import ast
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from core import SetupError


def names(source: str) -> dict[str, ast.expr]:
    """Every top-level constant (`NAME = value`, in capitals) and its value's place. Raises SyntaxError."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target: ast.expr = node.targets[0]
        elif isinstance(node, ast.AnnAssign):
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and target.id.isupper() and node.value is not None:
            found[target.id] = node.value
    return found


def with_params(source: str, params: Mapping[str, Any]) -> str:
    """The source with each parameter as the value of the constant of its name in capitals; all else
    stays as it is. Raises KeyError for a parameter without one, SyntaxError for no Python."""
    places = names(source)
    chosen = sorted(((places[name.upper()], value) for name, value in params.items()), key=lambda pair: pair[0].lineno)
    lines = source.encode().splitlines(keepends=True)  # ast counts columns in UTF-8 bytes
    for place, value in reversed(chosen):
        assert place.end_lineno is not None
        first, last = place.lineno - 1, place.end_lineno - 1
        before, after = lines[first][: place.col_offset], lines[last][place.end_col_offset :]
        lines[first : last + 1] = [before + repr(value).encode() + after]
    return b"".join(lines).decode()


def check(source: str, script: str, params: Iterable[str]) -> None:
    """Raises SetupError for a parameter without a constant in the script of that name."""
    try:
        known = names(source)
    except SyntaxError as error:
        raise SetupError(f"task.constants: {script} is no Python that can be read: {error}") from None
    for name in params:
        if name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f" Did you mean {near[0].lower()}?" if near else ""
            raise SetupError(
                f"task.space.{name}: {script} has no top-level constant {name.upper()}.{hint} It has: "
                f"{', '.join(known) or 'none'}"
            )
