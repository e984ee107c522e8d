"""Policy `hybrid`: the default, a few prior points, then a model that knows noise and failures."""

import hashlib
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core import CategoricalParam, PluginConfig, Proposal, Scalar, StudyView, Trial
from overnight_policy_hybrid import arms, tpe
from overnight_policy_hybrid.changes import Changes
from overnight_policy_hybrid.draws import draw
from overnight_policy_hybrid.known import Known, sort_out
from overnight_policy_hybrid.model import Model, dead_end
from overnight_policy_hybrid.priors import PriorPoint, Priors

if TYPE_CHECKING:
    from overnight_policy_hybrid.adviser import Adviser

_TPE_SHARE = 0.5
_REPEATS = 8  # how often TPE is asked again for a point that is not new


class HybridPolicy:
    """The default configuration, then prior points, then a sampler that models noise and failures.

    Everything is computed anew from the view at every proposal; who proposed a trial is read from
    the first word of its rationale.
    """

    class Config(PluginConfig):
        """default_first: whether trial 1 is the task author's own configuration. priors: points
        worth trying early, e.g. [{learning_rate: 1e-5}]; what they leave out is the default.
        memory: directory of an earlier study, whose best points are tried early. prior_points: how
        many prior points are tried before the model starts; the others are tried when progress
        stalls. startup_trials: scored trials (the default and prior points among them, else random
        draws) before the model is used. stall_trials, stall_gain: progress stalls when the believed
        best rose by at most stall_gain standard deviations of the noise in that many scores.
        outside_share: the largest share of trials that prior points and the language model may
        have once the model has started. gp_trials: ended trials up to which a Gaussian process is
        the sampler, TPE beyond it. llm: settings of a language model (see overnight-llm), which
        adds prior points and points when progress stalls; null does without. diffs: a policy that
        then proposes changes of the task's program, e.g. {name: llm_diff, model: …}; the sampler goes
        on from the program that leads."""

        default_first: bool = True
        priors: tuple[dict[str, Scalar], ...] = ()
        memory: str | None = None
        prior_points: int = Field(default=3, ge=0)
        startup_trials: int = Field(default=4, ge=1)
        stall_trials: int = Field(default=8, ge=1)
        stall_gain: float = Field(default=0.5, ge=0)
        outside_share: float = Field(default=0.3, ge=0, le=1)
        gp_trials: int = Field(default=250, ge=0)
        llm: dict[str, Any] | None = None
        diffs: dict[str, Any] | None = None

    def __init__(self, config: Config) -> None:
        self._config = config
        self._priors = Priors(config.priors, config.memory)
        self._adviser = None if config.llm is None else _adviser(config.llm)
        self._changes = None if config.diffs is None else Changes(config.diffs)

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """See core.contracts.Policy."""
        pending = [trial.proposal for trial in view.running]
        priors = self._priors.points(view.space)
        model: Model | None = None
        proposals: list[Proposal] = []
        for index in range(view.proposed, view.proposed + n):
            known = sort_out(view, pending)
            model = model or Model(known)
            turn = _Turn(self._config, view, known, model, priors, index, self._adviser, self._changes, proposals)
            proposals.append(turn.proposal())
            pending.append(proposals[-1])
        return proposals

    def tell(self, trial: Trial) -> None:
        """Nothing to keep: `ask` reads all trials from the view."""
        if self._changes is not None:
            self._changes.tell(trial)

    def notices(self) -> list[str]:
        """See core.contracts.HasNotices."""
        return [] if self._changes is None else self._changes.notices()


class _Turn:
    """One proposal in the making."""

    def __init__(
        self,
        config: HybridPolicy.Config,
        view: StudyView,
        known: Known,
        model: Model,
        priors: list[PriorPoint],
        index: int,
        adviser: "Adviser | None",
        changes: Changes | None,
        round_: list[Proposal],
    ) -> None:
        self._config, self._view, self._known, self._model = config, view, known, model
        self._priors, self._index, self._adviser = priors, index, adviser
        self._changes, self._round = changes if view.program is not None else None, list(round_)
        self._seed = stable_seed(view.seed, index)
        self._notes: list[str] = []

    def proposal(self) -> Proposal:
        """The default, prior points, draws and the sampler, in that order."""
        known, config = self._known, self._config
        if self._index == 0 and config.default_first:
            return Proposal(known.space.defaults(), rationale="default: the task's own configuration")
        early = sum(arm in arms.POINTS for arm in known.arms) < config.prior_points and not arms.let_down(known)
        if early and len(known.scored) < max(config.startup_trials, config.prior_points + 1):
            found = self._outside(vetoed=False)
            if found is not None:
                return found
        if len(known.scored) < config.startup_trials:
            why = f"{len(known.scored)} scored trials of the {config.startup_trials} that the model starts with"
            return self._say("draw", draw(known, self._model, self._seed), why)
        if self._has_outside and arms.outside_may(known, config.outside_share) and self._stalled:
            found = self._helped() if arms.outside_next(known, self._seed) else None
            if found is not None:
                return found
        return self._sampled()

    @cached_property
    def _stalled(self) -> bool:
        if len(self._known.outcomes) > self._config.gp_trials:
            return False  # the model that would say so takes too long to fit
        return self._model.stalled(self._config.stall_trials, self._config.stall_gain)

    @property
    def _has_outside(self) -> bool:
        helpers = self._adviser is not None or self._changes is not None
        return helpers or any(dead_end(self._known, p.point) is None for p in self._priors)

    @property
    def _by_tpe(self) -> bool:
        known = self._known
        if not known.frame.axes:
            return False
        categorical = sum(isinstance(param, CategoricalParam) for param in known.space.values())
        return len(known.outcomes) > self._config.gp_trials or categorical > _TPE_SHARE * len(known.space)

    def _helped(self) -> Proposal | None:
        """A point or a change of the program, whichever was tried less often; else the other."""
        diffs = sum(arm == "diff" for arm in self._known.arms)
        if diffs <= sum(arm in arms.POINTS for arm in self._known.arms):
            return self._changed() or self._outside(vetoed=True)
        return self._outside(vetoed=True) or self._changed()

    def _changed(self) -> Proposal | None:
        """A change of the program that leads, at its parameters."""
        if self._changes is None:
            return None
        found, why = self._changes.ask(self._view, self._round)
        if found is None:
            self._notes.append(why)
            return None
        return replace(found, rationale=" ".join("; ".join([f"diff: {found.rationale}", *self._notes]).split()))

    def _outside(self, *, vetoed: bool) -> Proposal | None:
        """The next point of a person, an earlier study or the language model that is new and,
        with `vetoed`, not hopeless in the model's eyes."""
        for prior in self._priors:
            if dead_end(self._known, prior.point) is None and not (vetoed and self._model.veto(prior.point)):
                return self._say("prior", prior.point, prior.source)
        if self._adviser is None:
            return None
        advice = self._adviser.ask(self._view, stable_seed(self._view.seed, self._view.proposed))
        self._notes += advice.notes
        for point, why in advice.points:
            refused = dead_end(self._known, point) or (self._model.veto(point) if vetoed else None)
            if refused is None:
                return self._say("llm", point, why)
            self._notes.append(f"a point of the language model was refused: {refused}")
        return None

    def _sampled(self) -> Proposal:
        known = self._known
        scored = f"{len(known.scored)} scored"
        failed = f", {len(known.failed)} failed" if known.failed else ""
        running = f", {len(known.pending)} running" if known.pending else ""
        if self._by_tpe:
            asked = [tpe.propose(known, self._seed)]
            while dead_end(known, asked[-1]) and len(asked) < _REPEATS:
                asked.append(tpe.propose(known, self._seed + len(asked)))
            return self._say("model", asked[-1], f"TPE on {scored}{failed}{running}")
        point = self._model.propose(known, self._seed) if known.frame.axes else None
        if point is None:
            why = "every point of the space was tried; the most promising again, on another seed"
            return self._say("model", self._model.most_promising(), why)
        return self._say("model", point, f"Gaussian process, expected improvement on {scored}{failed}{running}")

    def _say(self, arm: str, point: dict[str, Scalar], why: str) -> Proposal:
        foreign = self._known.foreign
        notes = [*self._notes, f"{foreign} outside the search space left out"] if foreign else self._notes
        rationale = " ".join("; ".join([f"{arm}: {why}", *notes]).split())
        return Proposal(point, patch=self._known.patch, rationale=rationale)


def _adviser(settings: dict[str, Any]) -> "Adviser":
    """Imported when one is asked for: without a language model the library need not be installed."""
    from overnight_policy_hybrid.adviser import Adviser

    return Adviser(settings)


def stable_seed(seed: int, index: int) -> int:
    """A 32-bit seed for one proposal, the same on every machine (unlike Python's hash)."""
    return int.from_bytes(hashlib.sha256(f"hybrid/{seed}/{index}".encode()).digest()[:4], "big")
