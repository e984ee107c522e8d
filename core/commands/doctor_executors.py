"""Asks every installed executor whether it would work; none may hang, raise or spend."""

import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.commands.doctor_config import Composed, Node
from core.contracts import Diagnoses, Diagnosis, Offer, Resources, SetupError
from core.errors import PluginError, UsageError
from core.plugins import Plugin, Registry

LIMIT_S = 20.0


@dataclass
class Examined:
    """What was found of one executor. offers: for what one job of the study needs, and for a GPU.
    kind: "executor", or "plugin" for a distribution that is too broken to say what it brings."""

    name: str
    distribution: str = ""
    kind: str = "executor"
    chosen: bool = False
    found: list[Diagnosis] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)

    @property
    def works(self) -> bool:
        """Whether nothing that was found keeps it from working."""
        return bool(self.found) and all(one.level != "fail" for one in self.found)


def examine(composed: Composed, registry: Registry, limit_s: float) -> list[Examined]:
    """All at once, each within the limit, the chosen one first; then distributions that are broken."""
    resources, running = composed.resources, []
    # What a hanging executor still holds open must not make the end fail.
    with tempfile.TemporaryDirectory(prefix="overnight-doctor-", ignore_cleanup_errors=True) as folder:
        end = time.monotonic() + limit_s
        for name, node in composed.nodes.items():
            one = Examined(name, chosen=node.chosen)
            # Appended to by a thread that may never end; only a copy leaves this function.
            thread = threading.Thread(
                target=_ask, args=(one, node, registry, resources, Path(folder) / name), daemon=True
            )
            thread.start()
            running.append((one, thread))
        found = [_result(one, thread, end, limit_s) for one, thread in running]
    return found + [_broken(plugin) for plugin in registry.plugins() if plugin.kind == "plugin"]


def _broken(plugin: Plugin) -> Examined:
    todo = f"mend or uninstall {plugin.distribution} {plugin.version}"
    return Examined(plugin.name, plugin.distribution, plugin.kind, found=[Diagnosis("fail", plugin.problem, todo)])


def _result(one: Examined, thread: threading.Thread, end: float, limit_s: float) -> Examined:
    thread.join(max(0.0, end - time.monotonic()))
    hung = thread.is_alive()
    shown = Examined(one.name, one.distribution, one.kind, one.chosen, list(one.found), list(one.offers))
    if hung:
        said = f"did not answer within {limit_s:g} s"
        shown.found.append(Diagnosis("fail", said, "look whether its server can be reached, or give it more --limit"))
    return shown


def _ask(one: Examined, node: Node, registry: Registry, resources: Resources, workspace: Path) -> None:
    try:
        plugin = registry.find("executor", one.name)
        one.distribution = plugin.distribution
        if node.problem:
            raise UsageError(node.problem)
        executor = registry.build("executor", node.settings, workspace=workspace)
        if isinstance(executor, Diagnoses):
            one.found += executor.diagnose()
        if all(found.level != "fail" for found in one.found):
            _offers(one, executor, resources)  # else it would only say the same again
    except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything; it is shown, not hidden
        one.found.append(_failed(one, error))


def _offers(one: Examined, executor: Any, resources: Resources) -> None:
    offers = list(executor.offers(resources))
    one.offers += offers[:3]
    if not offers:
        wanted = f"cpus={resources.cpus:g} gpus={resources.gpus} gpu_type={resources.gpu_type}"
        said = f"has no machine for resources {wanted} memory_gb={resources.memory_gb}"
        one.found.append(Diagnosis("fail", said, "lower `resources`, or choose another executor"))
    elif not isinstance(executor, Diagnoses):
        one.found.append(Diagnosis("ok", f"offers {offers[0].hardware} (it has no diagnosis of its own)"))
    if not resources.gpus:
        one.offers += [offer for offer in executor.offers(Resources(gpus=1)) if offer not in one.offers][:3]


def _failed(one: Examined, error: Exception) -> Diagnosis:
    said = str(error).strip() or type(error).__name__
    again = f"python -m core doctor executor={one.name}"
    match error:
        case SetupError():
            return Diagnosis("fail", said, f"then: {again}")
        case PluginError() if isinstance(error.__cause__, ModuleNotFoundError):
            missing = error.__cause__.name or "what is missing"
            return Diagnosis("fail", said, f"pip install {one.distribution} anew, or {missing} if it is a library")
        case PluginError():
            return Diagnosis("fail", said, f"mend or uninstall {one.distribution or 'it'}; see: python -m core plugins")
        case UsageError():
            return Diagnosis("fail", said, f"try: {again} executor.KEY=VALUE")
    todo = f"if its server and the network are in order, report it to the authors of {one.distribution}"
    return Diagnosis("fail", f"{type(error).__name__}: {said}", todo)
