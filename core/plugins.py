"""Plugins: discover them through entry points, resolve their names lazily, explain what is wrong."""

import ast
import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from core import hookspecs
from core.contracts import CONTRACT_VERSION, PluginConfig, Policy
from core.errors import PluginError
from core.marker import PROJECT
from core.suggest import did_you_mean, listing
from core.validation import validate

GROUP = "overnight"
KINDS: dict[str, str] = {
    "task": "tasks",
    "policy": "policies",
    "executor": "executors",
    "reward": "rewards",
    "decision": "decisions",
    "tracker": "trackers",
}
_METHODS: dict[str, tuple[str, ...]] = {
    "task": ("prepare", "train", "evaluate"),
    "policy": ("ask", "tell"),
    "executor": ("caps", "offers", "submit", "find", "poll", "logs", "fetch", "cancel", "reap"),
    "reward": ("__call__",),
    "decision": ("decide",),
    "tracker": ("notes",),
}


@dataclass(frozen=True)
class Plugin:
    """One thing that a distribution brings: a named class of some kind.

    target: "module:Class". problem: why it cannot be used, or "".
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    problem: str = ""

    @property
    def qualified(self) -> str:
        """The name that is never ambiguous: "distribution:name"."""
        return f"{self.distribution}:{self.name}"


class Registry:
    """The plugins of this environment.

    manager: the Pluggy manager with every sound plugin module registered, for lifecycle hooks.
    """

    def __init__(self, found: Iterable[EntryPoint]) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self._plugins: list[Plugin] = []
        self._config_dirs: list[str] = []
        seen: set[tuple[str, str, str]] = set()
        for entry in found:
            distribution = entry.dist.name if entry.dist else "unknown"
            if (key := (distribution, entry.name, entry.value)) not in seen:
                seen.add(key)
                self._add(entry, distribution, entry.dist.version if entry.dist else "")

    def _add(self, entry: EntryPoint, distribution: str, version: str) -> None:
        try:
            module = entry.load()
            brought = self._read(module)
            self.manager.register(module, name=f"{distribution}:{entry.name}")
        except Exception as error:  # noqa: BLE001 - a stranger's import may raise anything; it is shown, not hidden
            problem = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            self._plugins.append(Plugin("plugin", entry.name, distribution, version, entry.value, _one_line(problem)))
            return
        for kind, name, target in brought:
            self._plugins.append(Plugin(kind, name, distribution, version, target))

    def _read(self, module: ModuleType) -> list[tuple[str, str, str]]:
        """What the module declares; raises PluginError where it breaks the contract."""
        wanted = getattr(module, "overnight_contract", CONTRACT_VERSION)
        if wanted != CONTRACT_VERSION:
            raise PluginError(
                f"built for plugin contract {wanted}, this Overnight has contract {CONTRACT_VERSION}: "
                f"install a matching version of one of them"
            )
        known = {name for name in vars(hookspecs) if self.manager.parse_hookspec_opts(hookspecs, name)}
        hooks = [name for name in dir(module) if self.manager.parse_hookimpl_opts(module, name) is not None]
        for name in hooks:
            if name not in known:
                raise PluginError(f"implements a hook {name!r} that does not exist.{did_you_mean(name, known)}")
        brought: list[tuple[str, str, str]] = []
        for kind, hook in KINDS.items():
            if hook in hooks:
                brought += [(kind, name, target) for name, target in _names(getattr(module, hook)(), hook)]
        if "config_dirs" in hooks:
            dirs = module.config_dirs()
            if not isinstance(dirs, list) or not all(isinstance(item, str) for item in dirs):
                raise PluginError(f"config_dirs() must return a list of strings, not {dirs!r}")
            self._config_dirs += [item for item in dirs if item not in self._config_dirs]
        return brought

    @property
    def config_dirs(self) -> list[str]:
        """Hydra search paths of all sound plugins."""
        return list(self._config_dirs)

    def plugins(self) -> list[Plugin]:
        """Everything found, with name conflicts marked, sorted by kind and name."""
        marked = []
        for plugin in self._plugins:
            rivals = [other for other in self._same(plugin.kind, plugin.name) if other != plugin]
            if rivals and not plugin.problem and plugin.kind != "plugin":
                marked.append(Plugin(**{**vars(plugin), "problem": _conflict([plugin, *rivals])}))
            else:
                marked.append(plugin)
        order = [*KINDS, "plugin"]
        return sorted(marked, key=lambda plugin: (order.index(plugin.kind), plugin.name, plugin.distribution))

    def names(self, kind: str) -> list[str]:
        """The plain names of a kind."""
        return sorted({plugin.name for plugin in self._plugins if plugin.kind == kind})

    def find(self, kind: str, name: str) -> Plugin:
        """The plugin of that kind and name ("name" or "distribution:name").

        Raises PluginError when it is unknown, claimed by two distributions, or when a broken
        distribution may have brought it.
        """
        distribution, _, plain = name.rpartition(":")
        found = [p for p in self._same(kind, plain) if not distribution or p.distribution == distribution]
        if len(found) == 1:
            return found[0]
        if found:
            raise PluginError(f"{kind} {name!r}: {_conflict(found)}")
        known = self.names(kind)
        broken = [plugin for plugin in self._plugins if plugin.kind == "plugin"]
        hint = "".join(f"\nBroken distribution {p.distribution} ({p.name}): {p.problem}" for p in broken)
        raise PluginError(
            f"no {kind} {name!r} is installed.{did_you_mean(plain, known)} There are: {listing(known)}{hint}"
        )

    def load(self, kind: str, name: str) -> type[Any]:
        """Import the class of a plugin. Raises PluginError with the cause when it cannot be."""
        plugin = self.find(kind, name)
        module_name, _, class_name = plugin.target.partition(":")
        try:
            loaded = getattr(importlib.import_module(module_name), class_name)
        except Exception as error:
            raise PluginError(
                f"{kind} {name!r} of {plugin.distribution} {plugin.version} cannot be imported from "
                f"{plugin.target}: {type(error).__name__}: {_one_line(str(error))}"
            ) from error
        missing = [method for method in _METHODS[kind] if not _defines(loaded, method)]
        if not isinstance(loaded, type) or missing:
            lacks = f"lacks {', '.join(missing)}" if missing else "is no class"
            raise PluginError(f"{kind} {name!r} of {plugin.distribution}: {plugin.target} {lacks} (see core/contracts)")
        return loaded

    def configure(self, kind: str, node: Mapping[str, Any], where: str | None = None) -> tuple[type[Any], PluginConfig]:
        """The class that `node["name"]` names and its validated `Config`.

        where: the node's path in the configuration, for messages; the kind by default.
        """
        where = where or kind
        settings = dict(node)
        name = settings.pop("name", None)
        if not isinstance(name, str) or not name:
            raise PluginError(f"{where}.name: says which {kind} to use. There are: {listing(self.names(kind))}")
        loaded = self.load(kind, name)
        model = getattr(loaded, "Config", PluginConfig)
        return loaded, validate(model, settings, where)

    def build(self, kind: str, node: Mapping[str, Any], where: str | None = None, **extra: Any) -> Any:
        """Construct the plugin that `node` names: `Class(config, **extra)`."""
        loaded, config = self.configure(kind, node, where)
        return loaded(config, **extra)

    def _same(self, kind: str, name: str) -> list[Plugin]:
        return [plugin for plugin in self._plugins if plugin.kind == kind and plugin.name == name]


def discover() -> Registry:
    """The plugins that installed distributions declare in entry-point group `overnight`."""
    return Registry(
        sorted(entry_points(group=GROUP), key=lambda entry: (entry.dist.name if entry.dist else "", entry.name))
    )


def build_policy(node: Mapping[str, Any], where: str = "policy") -> Policy:
    """The policy that a node of the configuration names, for a policy that hands over to another.

    where: the node's path, for messages. Raises PluginError or UsageError for a wrong node.
    """
    built: Policy = discover().build("policy", node, where)
    return built


def describe(plugin: Plugin) -> str:
    """The first line of the class's docstring, read from its source without importing it."""
    module_name, _, class_name = plugin.target.partition(":")
    try:
        spec = importlib.util.find_spec(module_name)
        if spec is None or not spec.origin:
            return ""
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (ImportError, SyntaxError, OSError, ValueError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _names(declared: Any, hook: str) -> list[tuple[str, str]]:
    if not isinstance(declared, Mapping):
        raise PluginError(f'{hook}() must return {{"name": "module:Class"}}, not {declared!r}')
    for name, target in declared.items():
        if not isinstance(name, str) or not isinstance(target, str) or ":" not in target:
            raise PluginError(f'{hook}() must map names to "module:Class", not {name!r} to {target!r}')
    return list(declared.items())


def _conflict(rivals: list[Plugin]) -> str:
    who = " and ".join(plugin.distribution for plugin in rivals)
    return f"both {who} bring it; choose one with name: {' or name: '.join(plugin.qualified for plugin in rivals)}"


def _defines(loaded: Any, method: str) -> bool:
    # Not hasattr: every class answers to __call__, because its own type does.
    return any(method in vars(base) for base in getattr(loaded, "__mro__", ()))


def _one_line(text: str) -> str:
    return " ".join(text.split())
