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
        raise UsageError("\n".join(_line(model, problem, where) for problem in error.errors())) from None


def _line(model: type[BaseModel], problem: Any, where: str) -> str:
    path = [str(part) for part in problem["loc"]]
    key = ".".join([where, *path] if where else path)
    if problem["type"] == "extra_forbidden":
        known = _fields(model, path[:-1])
        return f"{key}: unknown key.{did_you_mean(path[-1], known)} Keys: {listing(known)}"
    if problem["type"] == "missing":
        return f"{key}: a value is needed"
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = problem.get("input")
    shown = "" if isinstance(given, dict | list) else f" (got {given!r})"
    return f"{key}: {message[:1].lower()}{message[1:]}{shown}"


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    current: Any = model
    for part in path:
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, BaseModel) else None
        current = field.annotation if field else None
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []
