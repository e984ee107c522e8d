"""The code bundle: Overnight and its plugins as one content-addressed archive, for machines without them.

It holds the pure-Python packages that the worker needs (core, every distribution that declares a
plugin, and libraries that depend on Overnight), with the metadata by which plugins are found. What
they import from elsewhere (torch, transformers …) has to be on the machine.
"""

import gzip
import hashlib
import importlib.util
import io
import re
import tarfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

_GROUP = "overnight"
_LEFT_OUT = {"__pycache__", ".mypy_cache", ".ruff_cache"}
_BINARY = {".so", ".pyd", ".dylib"}


class NotPure(ValueError):
    """A plugin's package holds compiled code, which cannot be carried to another machine as it is."""


def bundle(folder: Path) -> Path:
    """Write the bundle of what is installed here into a folder; returns its path, named by its digest.

    The same code gives the same digest. Raises NotPure, OSError.
    """
    content = _archive(sorted(_members()))
    digest = hashlib.sha256(content).hexdigest()
    target = folder / f"code-{digest[:16]}.tar.gz"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(content)
        partial.replace(target)
    return target


def carried() -> list[Distribution]:
    """The distributions that go into the bundle: Overnight, its plugins, and what else needs Overnight."""
    found = {}
    for distribution in distributions():
        name = _normal(distribution.name or "")
        plugin = any(point.group == _GROUP for point in distribution.entry_points)
        needs = {_normal(_requirement(text)) for text in distribution.requires or ()}
        if name == _GROUP or plugin or _GROUP in needs:
            found.setdefault(name, distribution)
    return [found[name] for name in sorted(found)]


def _members() -> Iterator[tuple[str, bytes]]:
    for distribution in carried():
        for package in _packages(distribution):
            spec = importlib.util.find_spec(package)
            for place in (spec.submodule_search_locations or ()) if spec else ():
                yield from _package(package, Path(place))
        info = f"{_normal(distribution.name).replace('-', '_')}-{distribution.version}.dist-info"
        yield f"{info}/METADATA", _metadata(distribution).encode()
        points = distribution.read_text("entry_points.txt")
        if points:
            yield f"{info}/entry_points.txt", points.encode()


def _packages(distribution: Distribution) -> list[str]:
    top = distribution.read_text("top_level.txt")
    if top:
        return sorted(set(top.split()))
    points = [
        point.value.partition(":")[0].partition(".")[0] for point in distribution.entry_points if point.group == _GROUP
    ]
    named = {
        str(file).partition("/")[0]
        for file in distribution.files or ()
        if str(file).endswith(".py") and "/" in str(file)
    }
    return sorted({*points, *(name for name in named if name.isidentifier())})


def _package(package: str, place: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(place.rglob("*")):
        if path.is_file() and not _LEFT_OUT & set(path.parts) and path.suffix != ".pyc":
            if path.suffix in _BINARY:
                raise NotPure(f"{path} is compiled code, which other machines cannot be given: install {package} there")
            yield f"{package}/{path.relative_to(place)}", path.read_bytes()


def _metadata(distribution: Distribution) -> str:
    return f"Metadata-Version: 2.1\nName: {distribution.name}\nVersion: {distribution.version}\n"


def _archive(members: list[tuple[str, bytes]]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def _requirement(text: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", text)
    return found.group() if found else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
