"""The parts of a study: its plugins, built from the configuration and checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.budget.ledger import Price
from core.budget.plan import Times, make_plan
from core.contracts import (
    Caps,
    ChecksItself,
    DecisionRule,
    Executor,
    InvalidParams,
    Offer,
    Policy,
    Program,
    Resources,
    SetupError,
    Space,
    Task,
    Tracker,
)
from core.errors import OvernightError, PluginError, UsageError
from core.journal.facts import Limits
from core.plugins import Registry
from core.study.identical import Identical
from core.study.settings import StudySettings
from core.suggest import listing
from core.validation import validate


@dataclass(frozen=True)
class Parts:
    """Everything a study needs, ready to run.

    task_node, rewards: what a worker is told to build. resources, offer, price: of one job.
    program: what patches are to, None where the task has none; set when the study begins.
    """

    settings: StudySettings
    registry: Registry
    task: Task
    task_node: dict[str, Any]
    rewards: dict[str, dict[str, Any]]
    policy: Policy
    executor: Executor
    decision: DecisionRule
    trackers: dict[str, Tracker]
    caps: Caps
    resources: Resources
    offer: Offer
    program: Program | None = None

    @property
    def price(self) -> Price:
        """What a job costs."""
        return Price(self.offer.usd_per_hour, self.resources.gpus)

    @property
    def overhead_s(self) -> float:
        """Seconds that a job may be paid for beyond its deadline: grace, and its machine's start and end."""
        return self.settings.grace_s + self.caps.overhead_s

    @property
    def space(self) -> Space:
        """The search space."""
        return self.task.space


def split_task(node: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A task node without its rewards, and the rewards."""
    task = {key: value for key, value in node.items() if key != "rewards"}
    return task, {name: dict(options) for name, options in (node.get("rewards") or {}).items() if options is not None}


def check(config: Mapping[str, Any], registry: Registry) -> StudySettings:
    """Validate the whole configuration, plugins' nodes included, without building an executor.

    Raises UsageError (PluginError) with one line per problem.
    """
    settings = validate(StudySettings, config, "")
    task_node, rewards = split_task(settings.task)
    _space(_task(registry, task_node))
    for name, options in rewards.items():
        weight = options.pop("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise UsageError(f"task.rewards.{name}.weight: a number is needed, got {weight!r}")
        registry.configure("reward", {"name": name, **options}, where=f"task.rewards.{name}")
    registry.configure("policy", settings.policy)
    registry.configure("executor", settings.executor)
    registry.configure("decision", settings.decision)
    for name, node in settings.trackers.items():
        registry.configure("tracker", {"name": name, **node}, where=f"trackers.{name}")
    return settings


def build(config: Mapping[str, Any], registry: Registry, workspace: Path) -> Parts:
    """Build all parts. Raises UsageError for anything that a person has to change first."""
    settings = check(config, registry)
    task_node, rewards = split_task(settings.task)
    resources = Resources(**settings.resources.model_dump())
    try:
        task = _task(registry, task_node)
        if isinstance(task, ChecksItself):
            task.check()
        executor, offers = _executor(registry, settings, resources, workspace)
        parts = Parts(
            settings=settings,
            registry=registry,
            task=task,
            task_node=task_node,
            rewards=rewards,
            policy=Identical() if settings.identical else registry.build("policy", settings.policy),
            executor=executor,
            decision=registry.build("decision", settings.decision),
            trackers={
                name: registry.build("tracker", {"name": name, **node}) for name, node in settings.trackers.items()
            },
            caps=executor.caps(),
            resources=resources,
            offer=offers[0] if offers else Offer("none"),
        )
    except SetupError as error:
        raise UsageError(str(error)) from error
    except OvernightError:
        raise
    except Exception as error:
        raise PluginError(f"a plugin of this study cannot start: {type(error).__name__}: {error}") from error
    if not offers:
        raise UsageError(
            f"executor {settings.executor['name']!r} has no machine for resources "
            f"cpus={resources.cpus:g} gpus={resources.gpus} gpu_type={resources.gpu_type} "
            f"memory_gb={resources.memory_gb} (not just now, or never): lower `resources`, try again later or choose "
            "another executor"
        )
    return parts


def _executor(
    registry: Registry, settings: StudySettings, resources: Resources, workspace: Path
) -> tuple[Executor, Sequence[Offer]]:
    """The executor and what it offers. Raises UsageError that says, where it has no access to machines,
    what the study would take of them."""
    try:
        executor: Executor = registry.build("executor", settings.executor, workspace=workspace)
        return executor, executor.offers(resources)
    except SetupError as error:
        raise UsageError(f"{error}\n{_needs(settings, resources)}") from error


def _needs(settings: StudySettings, resources: Resources) -> str:
    limits, deadline, grace = settings.budget, settings.deadline, settings.grace_s
    times = Times(deadline.prepare_s, deadline.train_s, deadline.evaluate_s, grace)
    most = Limits(limits.trials, None, None, None)
    plan = make_plan(most, Price(0.0, resources.gpus), times, "")
    kind = f"{resources.gpus} {resources.gpu_type or 'GPU'}" if resources.gpus else "CPU"
    if plan.most is None:
        return f"This study takes machines with {kind} each for as long as its budget lasts."
    hours = plan.most.seconds / 3600
    return f"This study: up to {limits.trials} trials, at most {hours:.1f} machine-hours with {kind} each."


def _task(registry: Registry, node: Mapping[str, Any]) -> Task:
    try:
        task: Task = registry.build("task", node)
    except SetupError as error:
        raise UsageError(f"task: {error}") from error
    return task


def _space(task: Task) -> Space:
    try:
        space = task.space
    except SetupError as error:
        raise UsageError(f"task.space: {error}") from error
    if not space:
        raise UsageError("task.space: the search space is empty: give it at least one parameter")
    try:
        space.check(space.defaults())
    except InvalidParams as error:
        raise UsageError(f"task.space: the defaults do not fit ({error}); parameters: {listing(space)}") from None
    return space
