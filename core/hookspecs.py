"""The whole plugin contract on one page: every hook a plugin may implement.

A plugin is a module named by an entry point of group `overnight`:

    [project.entry-points.overnight]
    my_plugin = "my_package.plugin"

    # my_package/plugin.py: light, imported on every start
    from core import hookimpl

    overnight_contract = 1

    @hookimpl
    def policies():
        return {"my_policy": "my_package.policy:MyPolicy"}

    @hookimpl
    def config_dirs():
        return ["pkg://my_package.conf"]

The first group of hooks declares what the package brings, by name, as "module:Class" strings,
so that listing imports nothing; the contracts of the classes are in core/contracts. The second
group are lifecycle hooks, called while a study runs; trackers and notifiers implement them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.marker import hookspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.contracts.study import Study
    from core.contracts.trial import Trial


@hookspec
def policies() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Policies by name → "module:Class" (core.contracts.Policy)."""


@hookspec
def executors() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Executors by name → "module:Class" (core.contracts.Executor)."""


@hookspec
def tasks() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Tasks by name → "module:Class" (core.contracts.Task)."""


@hookspec
def rewards() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Rewards by name → "module:Class" (core.contracts.Reward)."""


@hookspec
def trackers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Trackers by name → "module:Class" (core.contracts.Tracker)."""


@hookspec
def decisions() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Decision rules by name → "module:Class" (core.contracts.DecisionRule)."""


@hookspec
def config_dirs() -> list[str]:  # type: ignore[empty-body]
    """Hydra search paths, e.g. ["pkg://my_package.conf"], holding <group>/<name>.yaml with
    `name: <name>` and every field of the class's `Config`."""


@hookspec
def study_started(study: Study) -> None:
    """A controller began to run the study, for the first time or after a resume. First call."""


@hookspec
def trial_proposed(study: Study, trial: Trial) -> None:
    """A trial was journaled and is about to be submitted (the baseline, number 0, included)."""


@hookspec
def trial_reported(study: Study, trial: Trial, step: int, metrics: Mapping[str, float]) -> None:
    """Training streamed the metrics of one step. Steps rise within an attempt of a trial."""


@hookspec
def trial_finished(study: Study, trial: Trial) -> None:
    """A trial ended: completed with its evaluation and decision, failed or cancelled."""


@hookspec
def incumbent_changed(study: Study, trial: Trial) -> None:
    """`trial` became the incumbent, or is it again: a rule may return to an older trial. Its checkpoint
    is at `study.directory / "best"`. Follows the trial's `trial_finished`. Not called when the
    baseline leads again (`study.incumbent` is 0 then)."""


@hookspec
def study_finished(study: Study) -> None:
    """The study ended (`study.finished` says why; None: interrupted, to be resumed). Last call."""
