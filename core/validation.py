"""Validation of a config node against a pydantic model, with errors that name the key and the cure."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.errors import UsageError
from core.suggest import did_you_mean, listing

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], node: Mapping[str, Any], where: str) -> M:
    """Build `model` from `node`. Raises UsageError, one line per wrong key, each starting with
    the key's full path, e.g. "policy.n_startup: …"."""
    try:
        return model.model_validate(dict(node))
    except ValidationError as error:
        lines: dict[str, list[str]] = {}
        for problem in error.errors():
            path = _written(problem, node)
            key = ".".join([where, *path] if where else path)
            lines.setdefault(key, []).append(_message(model, problem, path))
        # A value that may be of several types has a problem for each of them.
        raise UsageError("\n".join(f"{key}: {'; or: '.join(said)}" for key, said in lines.items())) from None


def _written(problem: Any, node: Any) -> list[str]:
    """The path as the user wrote it: pydantic also puts the names of a union's types into it."""
    path = []
    loc = problem["loc"]
    for position, part in enumerate(loc):
        inside = isinstance(node, Mapping) and part in node
        inside = inside or (isinstance(node, list | tuple) and isinstance(part, int) and part < len(node))
        if inside:
            node = node[part]
        elif problem["type"] != "missing" or position < len(loc) - 1:
            continue
        path.append(str(part))
    return path


def _message(model: type[BaseModel], problem: Any, path: list[str]) -> str:
    if problem["type"] == "extra_forbidden":
        known = _fields(model, path[:-1])
        return f"unknown key.{did_you_mean(path[-1], known)} Keys: {listing(known)}" if known else "unknown key"
    if problem["type"] == "missing":
        return "a value is needed"
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = problem.get("input")
    shown = "" if isinstance(given, dict | list) else f" (got {given!r})"
    return f"{message[:1].lower()}{message[1:]}{shown}"


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    current: Any = model
    for part in path:
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, BaseModel) else None
        current = field.annotation if field else None
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []
