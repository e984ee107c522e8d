"""One proposal after the other: the default configuration first, each later one aware of those before it."""

import hashlib
import importlib.util
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

from core import InvalidParams, PluginConfig, Proposal, Scalar, SetupError, Space, StudyView, Trial

Point = dict[str, Scalar]


class SequentialConfig(PluginConfig):
    """default_first: whether trial 1 is the task author's own configuration."""

    default_first: bool = True


@dataclass(frozen=True)
class Known:
    """What a policy may learn from, sorted out of a study view.

    scored: points with their score, in the order in which they ended. failed: points that
    cannot be trained. ended: both, in that order, with None for a failed point's score.
    pending: points that are being tried. foreign: how many trials do not fit the search space
    (it changed since) and were left out.
    """

    space: Space
    ended: list[tuple[Point, float | None]]
    pending: list[Point]
    foreign: int = 0

    @property
    def scored(self) -> list[tuple[Point, float]]:
        return [(point, score) for point, score in self.ended if score is not None]

    @property
    def failed(self) -> list[Point]:
        return [point for point, score in self.ended if score is None]

    def avoided(self) -> str:
        """For a rationale: what the sampler was told to keep away from."""
        counts = [(len(self.failed), "failed"), (len(self.pending), "running")]
        named = " and ".join(f"{count} {state}" for count, state in counts if count)
        return f", away from {named}" if named else ""

    def left_out(self) -> str:
        """For a rationale: what the sampler was not told of."""
        return f"; {self.foreign} outside the search space left out" if self.foreign else ""


class SequentialPolicy:
    """Asks for one point at a time; a subclass says how a point is found.

    Asking for n at once equals asking n times for one, with the earlier ones running.
    """

    def __init__(self, config: SequentialConfig) -> None:
        self._default_first = config.default_first

    def propose(self, view: StudyView, known: Known, seed: int) -> Proposal:
        """The next proposal. seed: differs for each proposal, 32 bits."""
        raise NotImplementedError

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """See core.contracts.Policy."""
        pending = [trial.proposal.params for trial in view.running]
        proposals: list[Proposal] = []
        for index in range(view.proposed, view.proposed + n):
            if index == 0 and self._default_first:
                proposal = Proposal(view.space.defaults(), rationale="default configuration")
            else:
                proposal = self.propose(view, sort_out(view, pending), stable_seed(view.seed, index))
            proposals.append(proposal)
            pending.append(proposal.params)
        return proposals

    def tell(self, trial: Trial) -> None:
        """Nothing to keep: `ask` reads all trials from the view."""


def sort_out(view: StudyView, pending: Iterable[Point]) -> Known:
    """What the view says of each point.

    Cancelled trials and those that the executor lost say nothing about their settings and are
    no failures in this sense.
    """
    ended: list[tuple[Point, float | None]] = []
    foreign = 0
    for trial in view.trials:
        point, score = _fitting(view.space, trial.proposal.params), trial.score
        if point is None:
            foreign += 1
        elif score is not None and math.isfinite(score):
            ended.append((point, score))
        elif trial.status != "cancelled" and trial.error_kind != "executor":
            ended.append((point, None))
    fitting = [_fitting(view.space, point) for point in pending]
    foreign += fitting.count(None)
    return Known(view.space, ended, [point for point in fitting if point is not None], foreign)


def _fitting(space: Space, params: Point) -> Point | None:
    try:
        return space.check(params)
    except InvalidParams:
        return None


def draw(space: Space, seed: int) -> Point:
    """A random point of the space, for parameters or phases that no model covers."""
    return space.sample(random.Random(seed))


def stable_seed(seed: int, index: int) -> int:
    """A 32-bit seed for one proposal, the same on every machine (unlike Python's hash)."""
    return int.from_bytes(hashlib.sha256(f"optuna/{seed}/{index}".encode()).digest()[:4], "big")


def require(module: str, policy: str) -> None:
    """Raise SetupError, with the command that helps, when a module that a policy needs is missing."""
    if importlib.util.find_spec(module) is None:
        raise SetupError(
            f"policy {policy!r} needs {module}, which is not installed: run `pip install {module}`, "
            f"or choose another policy (policy=tpe needs neither)"
        )
