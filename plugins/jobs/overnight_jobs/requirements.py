"""Requirements: what from elsewhere an environment for jobs must hold, pinned as it is installed here."""

import functools
import importlib
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from core import SetupError
from overnight_jobs import code

_GROUP = "overnight"
# Extras of development: no job imports what they name.
_NOT_NEEDED = {"dev", "test", "tests", "docs", "doc", "lint"}
# Alone before the rest: where pip_args name an index for it, the rest finds it there already.
_FIRST = ("torch",)


def lines(wanted: str | Sequence[str]) -> list[str]:
    """The requirements of an environment, one a line. wanted: they themselves, the path of a file, or "auto".
    Raises SetupError for a file that is not there."""
    if wanted == "auto":
        return list(pinned())
    if isinstance(wanted, str):
        try:
            text = Path(wanted).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise SetupError(f"executor.requirements: {wanted} cannot be read: {error.strerror}") from None
        found = [line.strip() for line in text.splitlines()]
        return [line for line in found if line and not line.startswith("#")]
    return list(wanted)


def first(wanted: list[str]) -> list[str]:
    """Those of the lines that are to be installed before all others."""
    return [line for line in wanted if re.split(r"[^A-Za-z0-9._-]", line)[0].lower() in _FIRST]


def beside(image: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Those of the lines that an image does not bring itself; a name of the image's that ends in "-" stands
    for all that begin so."""
    names = [re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in wanted]
    brought = [any(name.startswith(each) if each.endswith("-") else name == each for each in image) for name in names]
    return [line for line, there in zip(wanted, brought, strict=True) if not there]


@functools.cache
def pinned() -> tuple[str, ...]:
    """name==version of all that the carried packages need, directly or not, as installed here. The local
    part of a version (+cpu) is left out: it names a build for this machine."""
    carried = _carried()
    found: dict[str, str] = {}
    todo = [(each, frozenset({""}) | _extras_here(each)) for each in _needed()]
    done: set[tuple[str, frozenset[str]]] = set()
    while todo:
        holder, extras = todo.pop()
        for requirement in _requirements(holder, extras):
            name = canonicalize_name(requirement.name)
            try:
                dist = distribution(name)
            except PackageNotFoundError:
                continue  # an option that is not installed here either
            key = (name, frozenset({"", *requirement.extras}))
            if key not in done:
                done.add(key)
                todo.append((dist, key[1]))
            if name not in carried:
                found[name] = f"{dist.name}=={Version(dist.version).public}"
    return tuple(found[name] for name in sorted(found))


@functools.cache
def modules() -> dict[str, str]:
    """What the carried packages import from elsewhere: top-level module → package, as installed here."""
    carried = _carried()
    wanted = {name for each in _needed() for name in _names(each)} - carried.keys()
    found: dict[str, str] = {}
    for name in sorted(wanted):
        try:
            dist = distribution(name)
        except PackageNotFoundError:
            continue
        for module in _top_level(dist):
            found.setdefault(module, dist.name)
    return found


# Inside.


@functools.cache
def _carried() -> dict[str, Distribution]:
    return {canonicalize_name(each.name): each for each in code.carried()}


@functools.cache
def _needed() -> tuple[Distribution, ...]:
    """The carried packages that a job may import: not those that only search, start or show trials."""
    carried = _carried()
    todo = [_GROUP, *(name for name, dist in carried.items() if _has_parts_for_jobs(dist))]
    found: dict[str, Distribution] = {}
    while todo:  # and the libraries among them that those need
        name = todo.pop()
        if name in carried and name not in found:
            found[name] = carried[name]
            todo += _names(carried[name])
    return tuple(found[name] for name in sorted(found))


def _has_parts_for_jobs(dist: Distribution) -> bool:
    for point in dist.entry_points:
        if point.group == _GROUP:
            try:
                plugin = importlib.import_module(point.value)
            except Exception:  # noqa: BLE001 - a broken plugin is said by `plugins`; its needs may be those of jobs
                return True
            if any(hasattr(plugin, hook) for hook in ("tasks", "rewards")):
                return True
    return False


def _top_level(dist: Distribution) -> list[str]:
    listed = dist.read_text("top_level.txt")
    names = set(listed.split()) if listed else {str(file).partition("/")[0] for file in dist.files or ()}
    named = {name.removesuffix(".py") for name in names}
    return sorted(name for name in named if name.isidentifier() and not name.startswith("_"))


def _names(dist: Distribution) -> set[str]:
    return {canonicalize_name(each.name) for each in _requirements(dist, frozenset({""}))}


def _extras_here(dist: Distribution) -> frozenset[str]:
    return frozenset(extra for extra in dist.metadata.get_all("Provides-Extra") or () if extra not in _NOT_NEEDED)


def _requirements(dist: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in dist.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # an old package's own way of writing; pip on the host reads it again
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement
