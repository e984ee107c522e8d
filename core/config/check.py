"""Checking overrides before a study starts: a typo gets one line, the nearest name and the list."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.config.search_path import NAME
from core.errors import UsageError
from core.plugins import Registry
from core.study.parts import check as check_parts
from core.suggest import did_you_mean, listing


def check_overrides(overrides: Sequence[str], registry: Registry, *, multirun: bool = False) -> None:
    """Compose once, for the first combination of a sweep, and validate everything.

    Raises UsageError, one line per problem.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise UsageError(f"cannot read the arguments: {_first_line(error)}") from None
    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        for override in parsed:
            _check_group(override)
        firsts = [_first(override) for override in parsed]
        bare = [text for override, text in zip(parsed, firsts, strict=True) if _is_group(override) or _adds(override)]
        try:
            groups_only = compose(NAME, overrides=bare, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise UsageError(_first_line(error)) from None
        for override in parsed:
            if not _is_group(override) and not _adds(override):
                _check_key(override, groups_only)
        try:
            composed = compose(NAME, overrides=firsts, return_hydra_config=True)
            config = to_config(composed)
            place = Path(composed.hydra.sweep.dir if multirun else composed.hydra.run.dir)
        except (HydraException, OmegaConfBaseException) as error:
            raise UsageError(_first_line(error)) from None
    check_parts(config, registry)
    _check_place(place)


def to_config(composed: DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain data, without Hydra's own node."""
    own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    plain = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def group_options() -> dict[str, list[str]]:
    """The options of every config group; needs an initialised Hydra."""
    loader = GlobalHydra.instance().config_loader()
    groups = [group for group in loader.list_groups("") if group != "hydra"]
    return {group: loader.get_group_options(group) for group in groups}


def _check_group(override: Override) -> None:
    loader = GlobalHydra.instance().config_loader()
    key = override.key_or_group
    if not _is_group(override):
        top_level = key.partition(".")[0].partition("/")[0]
        if override.is_add() and "." not in key and key not in _known_keys():
            groups = [group for group in loader.list_groups("") if group != "hydra"]
            if hint := did_you_mean(top_level, groups):
                raise UsageError(f"{key}: no such config group.{hint} Groups: {listing(groups)}")
        return
    if override.is_delete():
        return
    options = loader.get_group_options(key)
    for name in _values(override):
        if name is not None and name not in options:
            raise UsageError(
                f"{key}: there is no {name!r}.{did_you_mean(str(name), options)} Options: {listing(options)}"
            )


def _check_place(place: Path) -> None:
    """Hydra makes the directory before any of our code runs, and ends with a traceback if it cannot."""
    existing = next(parent for parent in (place.absolute(), *place.absolute().parents) if parent.exists())
    try:
        tempfile.TemporaryDirectory(prefix=".overnight-", dir=existing).cleanup()
    except OSError as error:
        raise UsageError(
            f"dir: {place} cannot be made, {existing} is not writable ({error.strerror}); "
            f"choose another place with dir=PATH"
        ) from None


def _check_key(override: Override, composed: DictConfig) -> None:
    key = override.key_or_group
    if OmegaConf.select(composed, key, throw_on_resolution_failure=False, default=_MISSING) is not _MISSING:
        return
    known = list(_leaves(composed))
    last = key.rpartition(".")[2]
    parent, siblings = key.rpartition(".")[0], []
    node = OmegaConf.select(composed, parent, throw_on_resolution_failure=False) if parent else composed
    if OmegaConf.is_dict(node):
        siblings = [str(name) for name in node if name != "hydra"]
        if last in siblings:
            return  # a setting that must be given ("???") counts as absent for `select`
        if hint := did_you_mean(last, siblings):
            full = hint.replace("mean ", f"mean {parent}.") if parent else hint
            raise UsageError(f"{key}: no such setting.{full} Here: {listing(siblings)}")
    groups = list(group_options())
    if siblings and parent:
        raise UsageError(f"{key}: no such setting. Here: {listing(siblings)}")
    hint = did_you_mean(key, [*known, *groups])
    top = [name for name in _known_keys(composed) if name not in groups]
    raise UsageError(f"{key}: no such setting.{hint} Groups: {listing(groups)}; settings: {listing(top)}")


_MISSING = object()


def _known_keys(composed: DictConfig | None = None) -> list[str]:
    if composed is None:
        composed = compose(NAME)
    return [str(key) for key in composed if key != "hydra"]


def _leaves(node: Any, prefix: str = "") -> Iterator[str]:
    for key in node:
        if not prefix and key == "hydra":
            continue
        path = f"{prefix}{key}"
        yield path
        child = OmegaConf.select(node, str(key), throw_on_resolution_failure=False)
        if OmegaConf.is_dict(child):
            yield from _leaves(child, f"{path}.")


def _is_group(override: Override) -> bool:
    loader = GlobalHydra.instance().config_loader()
    key = override.key_or_group
    return "." not in key and bool(loader.get_group_options(key, ObjectType.CONFIG))


def _adds(override: Override) -> bool:
    return override.is_add() or override.is_force_add() or override.is_delete()


def _values(override: Override) -> list[Any]:
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return [getattr(item, "text", item) for item in value.list]
    if override.is_sweep_override():
        return []
    values = value if isinstance(value, list) else [value]
    return [getattr(item, "text", item) for item in values]


def _first(override: Override) -> str:
    """The override with the first value of its sweep."""
    if not override.is_sweep_override():
        return override.input_line or ""
    first = next(iter(override.sweep_string_iterator()))
    prefix = re.match(r"\+{0,2}", override.input_line or "")
    return f"{prefix.group() if prefix else ''}{override.get_key_element().lstrip('+')}={first}"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    # Hydra's "Error merging override x=y" keeps the reason to itself, in the cause.
    return f"{said}: {_first_line(error.__cause__)}" if isinstance(error.__cause__, OmegaConfBaseException) else said
