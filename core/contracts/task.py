"""A task: what is trained and what "better" means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from core.contracts.evaluation import Evaluation, Split
from core.contracts.objective import Objective
from core.contracts.program import Program
from core.contracts.reward import WeightedReward
from core.contracts.space import Scalar, Space


class TrainContext(Protocol):
    """What `Task.train` is given.

    params: one value per parameter of the space. seed: of this training run. deadline_s:
    seconds this job may take in all. cache: as in `Task.prepare`. checkpoint_dir: an empty
    folder; whatever stands there at the end is the checkpoint. rewards: from the config's
    `task.rewards`. partial_dir: a folder for partial checkpoints, each put there whole (by rename);
    what stands there is saved when this attempt is lost. resume_from: a copy of the partial_dir
    of an earlier attempt that was lost, or None; a task that cannot use it starts from the beginning.
    program: path → text of the task's editable files as a patch changed them (see HasProgram), or
    None: train as the task does by itself.
    """

    params: Mapping[str, Scalar]
    seed: int
    deadline_s: float
    cache: Path
    checkpoint_dir: Path
    rewards: tuple[WeightedReward, ...]
    partial_dir: Path
    resume_from: Path | None
    program: Mapping[str, str] | None

    def report(self, step: int, total: int | None = None, **metrics: float) -> None:
        """Stream live metrics of one training step; cheap, call it at every logging step."""
        ...

    def should_stop(self) -> bool:
        """Whether to end early (cancelled, or the deadline is near): save and return."""
        ...

    def partial_due(self) -> bool:
        """Whether a partial checkpoint should be saved now: True once per interval of the study's
        `partial_every_s`, counted from the start of training, and once when training is told to stop."""
        ...

    def remaining(self) -> float:
        """Seconds left until the deadline."""
        ...


class EvaluateContext(Protocol):
    """What `Task.evaluate` is given.

    cache: as in `Task.prepare`. sealed: a folder that only evaluating processes are given;
    held-out answers belong there and nowhere else. deadline_s: seconds this job may take.
    """

    cache: Path
    sealed: Path
    deadline_s: float

    def report(self, step: int, total: int | None = None, **metrics: float) -> None:
        """Stream progress, e.g. items scored so far."""
        ...

    def should_stop(self) -> bool:
        """Whether to end early; an evaluation that ends early must raise, not score a part."""
        ...

    def remaining(self) -> float:
        """Seconds left until the deadline."""
        ...


class Task(Protocol):
    """What is trained, on what, and how it is scored.

    Constructed as `task_class(config)` with its validated `Config`, both in the controller
    (which only reads `objective`, `space` and `resources`, so that construction must be light
    and import nothing heavy) and in each job's process. Training and evaluation are never the
    same process; the training process must never read evaluation answers.
    """

    @property
    def objective(self) -> Objective:
        """The metric and direction that selection uses."""
        ...

    @property
    def space(self) -> Space:
        """What a policy may choose. Its defaults are the task author's own settings."""
        ...

    def prepare(self, cache: Path) -> None:
        """Make what training and evaluation share (base model, tokenised training data).

        Called in every job's process before `train` or `evaluate`, and once in a job of its
        own before the first trial; never concurrently for the same cache folder. Idempotent
        and content-addressed: a second call returns at once, other settings use other paths.
        Raises SetupError for a configuration that cannot work.
        """
        ...

    def train(self, context: TrainContext) -> None:
        """Train with `context.params` and leave the checkpoint in `context.checkpoint_dir`.
        Any exception makes the trial failed, with the exception as its error."""
        ...

    def evaluate(self, checkpoint: Path | None, split: Split, context: EvaluateContext) -> Evaluation:
        """Score a checkpoint folder (None = the untouched starting model) on a split. The same
        checkpoint and split give the same scores; items have the same ids every time."""
        ...


@runtime_checkable
class ChecksItself(Protocol):
    """A task that can tell from the controller's machine that it cannot work."""

    def check(self) -> None:
        """Called once in the controller before anything is submitted, so before money is spent.
        Raises SetupError that names the setting to change. Quick: it looks at files and asks
        servers, it loads no model."""
        ...


@runtime_checkable
class HasProgram(Protocol):
    """A task that has text which a policy may change by a patch: a script, or a recipe."""

    def program(self) -> Program:
        """The editable files as they are now. Called once, in the controller, when a study begins;
        quick: it reads files. A trial with a patch is trained with `context.program` in their place,
        in a sandbox and without `prepare` in that process (another one has called it before, so that
        the cache is complete and can only be read). Evaluation never sees a patch. Raises SetupError."""
        ...

    def training_reads(self) -> Sequence[Path]:
        """Files and folders beside the cache that training itself reads, such as a local model; a
        sandboxed training sees these, and nothing that holds held-out answers may be among them."""
        ...


@runtime_checkable
class HasLocalInputs(Protocol):
    """A task that reads files of the person's machine, which may not be the one that trains."""

    def local_inputs(self) -> Mapping[str, Path]:
        """Key of the task's config → the local file or folder that it names now; only those that are
        local. Where an executor's machines do not see this machine's files, these travel with each
        job and the worker is given the key with their place there. Quick: it imports nothing heavy."""
        ...


@dataclass(frozen=True)
class Preflight:
    """What a task measured before the first trial.

    figures: name → value, e.g. {"truncated_share": 0.57}. warnings: what is likely to spoil
    training. refusals: what makes training pointless or impossible. Each names the setting to
    change.
    """

    figures: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


@runtime_checkable
class HasPreflight(Protocol):
    """A task that measures, on a few batches, what silently ruins its runs."""

    def preflight(self, context: TrainContext) -> Preflight:
        """Called once on the training machine after `prepare`, with the default params and the
        configured rewards; it trains nothing and leaves no checkpoint."""
        ...


@dataclass(frozen=True)
class ModelFacts:
    """What a task knows about the models it makes, for the model card.

    base_model: the starting model's hub name (owner/name), a local folder if that is what was
    given, or None for a model made by the task itself. datasets: hub names of what was trained
    on. license: the hub's identifier of the license that a published model falls under, None =
    not known. pipeline_tag: the hub's word for what the model does, e.g. "text-generation".
    tags: further words to be found under. recipe: settings of training that the search space does
    not name. notes: sentences that whoever uses the model should read.
    """

    base_model: str | None = None
    datasets: tuple[str, ...] = ()
    license: str | None = None
    pipeline_tag: str | None = None
    tags: tuple[str, ...] = ()
    recipe: dict[str, Scalar] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@runtime_checkable
class DescribesModel(Protocol):
    """A task that can say what its models are made of."""

    def model_facts(self) -> ModelFacts:
        """Called in the controller, or later by `report` and `publish`, for the model card. Quick:
        it imports nothing heavy and asks no server. An exception leaves the facts out of the card,
        which says so."""
        ...
