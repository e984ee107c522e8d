"""The conformance suite for trackers: tests the sentences of core.contracts.tracker and core.hookspecs."""

import inspect
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pluggy
import pytest

from core import hookspecs
from core.contracts import Decision, Evaluation, Objective, PluginConfig, Proposal, Scalar, Study, Tracker, Trial
from core.marker import PROJECT
from core.plugins import Registry, discover

_HEAVY = ("torch", "transformers", "trl", "wandb", "mlflow", "optuna", "litellm", "pandas")


class TrackerConformance:
    """Subclass it in a plugin's tests:

        class TestMyTracker(TrackerConformance):
            name = "my_tracker"
            options = {"project": "test"}
            env = {"MY_TRACKER_OFFLINE": "1"}

    env: environment variables under which the tracker works on a bare machine (None unsets one).
    call_limit_s: what one hook may take, in seconds; `study_finished` may take `finish_limit_s`.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    env: ClassVar[Mapping[str, str | None]] = {}
    call_limit_s: ClassVar[float] = 30.0
    finish_limit_s: ClassVar[float] = 60.0

    @pytest.fixture
    def tracker(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Tracker:
        """A tracker as a study builds it."""
        for name, value in self.env.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        return self.build(registry)

    @pytest.fixture
    def registry(self) -> Registry:
        """The installed plugins."""
        return discover()

    def build(self, registry: Registry) -> Tracker:
        """Construct it from its configuration node."""
        built: Tracker = registry.build("tracker", {"name": self.name, **self.options})
        return built

    @pytest.fixture
    def life(self, tracker: Tracker, tmp_path: Path) -> "_Life":
        """A study that the tracker is told of."""
        return _Life(tracker, tmp_path / "study", self.call_limit_s, self.finish_limit_s)

    def test_it_is_a_tracker(self, tracker: Tracker) -> None:
        assert isinstance(tracker, Tracker)
        assert (type(tracker).__doc__ or "").partition("\n")[0], "the first docstring line is shown to users"

    def test_its_hooks_are_ones_that_exist_with_the_arguments_they_have(self, tracker: Tracker) -> None:
        manager = _manager(tracker)
        manager.check_pending()
        hooks = {caller.name for caller in manager.get_hookcallers(tracker) or []}
        lifecycle = {"study_started", "trial_proposed", "trial_reported", "trial_finished"}
        lifecycle |= {"incumbent_changed", "study_finished"}
        assert hooks, "a tracker implements at least one lifecycle hook, marked with @hookimpl"
        assert hooks <= lifecycle, f"these are no lifecycle hooks: {sorted(hooks - lifecycle)}"

    def test_hooks_named_like_lifecycle_hooks_are_marked(self, tracker: Tracker) -> None:
        marked = {caller.name for caller in _manager(tracker).get_hookcallers(tracker) or []}
        named = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if hasattr(tracker, name)}
        assert named <= marked, f"without @hookimpl these are never called: {sorted(named - marked)}"

    def test_constructing_is_light(self) -> None:
        code = (
            "import sys; from core.plugins import discover\n"
            f"discover().build('tracker', {{'name': {self.name!r}, **{dict(self.options)!r}}})\n"
            f"print(*[name for name in {_HEAVY!r} if name in sys.modules])"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        assert found.stdout.split() == [], "import heavy libraries inside the hooks that need them"

    def test_its_yaml_holds_every_field_of_its_config(self, registry: Registry) -> None:
        from importlib.resources import files

        from omegaconf import OmegaConf

        model = getattr(registry.load("tracker", self.name), "Config", PluginConfig)
        found = []
        for place in registry.config_dirs:
            path = files(place.removeprefix("pkg://")) / "tracker" / f"{self.name}.yaml"
            if path.is_file():
                found.append(path.read_text(encoding="utf-8"))
        assert found, f"no conf/tracker/{self.name}.yaml in any of {registry.config_dirs}"
        text = found[0]
        assert text.startswith(f"# @package trackers.{self.name}\n"), "without that line it lands in another node"
        node = OmegaConf.to_container(OmegaConf.create(text))
        assert isinstance(node, dict)
        assert node.pop("name") == self.name
        assert set(node) == set(model.model_fields)
        assert model.model_validate(node) == model(), "the YAML says other defaults than Config"

    def test_a_whole_study_is_shown_without_an_error(self, life: "_Life") -> None:
        life.whole()
        assert life.problems == []
        notes = life.tracker.notes()
        assert all(isinstance(line, str) and "\n" not in line for line in notes), "one fact a line"

    def test_hooks_may_come_from_another_thread(self, life: "_Life") -> None:
        thread = threading.Thread(target=life.whole, name="trackers")
        thread.start()
        thread.join(10 * self.finish_limit_s)
        assert not thread.is_alive()
        assert life.problems == []

    def test_a_resumed_study_may_tell_of_a_trial_twice(self, life: "_Life", registry: Registry) -> None:
        life.first_half()
        life.tell("study_finished", study=life.snapshot())
        life.listen(self.build(registry))
        life.tell("study_started", study=life.snapshot(resumed=True))
        life.tell("trial_finished", study=life.snapshot(), trial=life.trials[1])
        life.tell("trial_finished", study=life.snapshot(), trial=life.trials[1])
        life.second_half()
        assert life.problems == []

    def test_metrics_that_are_not_finite_do_no_harm(self, life: "_Life") -> None:
        life.tell("study_started", study=life.snapshot())
        life.propose(0)
        for step, value in enumerate((math.nan, math.inf, -math.inf, 1e300, 0.0)):
            life.report(0, step, loss=value)
        life.end(0, status="failed", error="loss is nan", error_kind="not-finite", evaluation=_scores(math.nan))
        life.tell("study_finished", study=life.snapshot(finished="the baseline failed"))
        assert life.problems == []

    def test_a_study_interrupted_at_once_is_no_error(self, life: "_Life") -> None:
        life.tell("study_started", study=life.snapshot())
        life.tell("study_finished", study=life.snapshot())
        assert life.problems == []

    def test_notes_may_be_asked_of_a_tracker_that_was_told_nothing(self, tracker: Tracker) -> None:
        assert all(isinstance(line, str) for line in tracker.notes())


class _Life:
    """A study's life, told through Pluggy as core tells it; collects what hooks raise or overrun."""

    def __init__(self, tracker: Tracker, directory: Path, call_limit_s: float, finish_limit_s: float) -> None:
        directory.mkdir()
        self._limits = (call_limit_s, finish_limit_s)
        self._study = Study(
            id="conformance-20260101-000000-ab12",
            name="conformance",
            directory=directory,
            task="some_task",
            policy="some_policy",
            executor="some_executor",
            objective=Objective("accuracy"),
            seed=1,
            config={"seed": 1, "nested": {"list": [1, None, "a"], "number": 1e-5}},
        )
        self.trials: dict[int, Trial] = {}
        self.incumbent = 0
        self.problems: list[str] = []
        self.listen(tracker)

    def listen(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._hook = _manager(tracker).hook

    def snapshot(self, **changes: Any) -> Study:
        trials = tuple(self.trials[number] for number in sorted(self.trials))
        return replace(self._study, **{"trials": trials, "incumbent": self.incumbent, **changes})

    def tell(self, hook: str, **arguments: Any) -> None:
        began = time.monotonic()
        call: Callable[..., Any] = getattr(self._hook, hook)
        try:
            call(**arguments)
        except Exception as error:  # noqa: BLE001 - a plugin's hook may raise anything; the test shows it
            self.problems.append(f"{hook} raised {type(error).__name__}: {error}")
        limit = self._limits[hook == "study_finished"]
        if (took := time.monotonic() - began) > limit:
            self.problems.append(f"{hook} took {took:.1f} s, more than {limit:g} s")

    def propose(self, number: int) -> None:
        params: dict[str, Scalar] = {"lr": 10.0**-number, "steps": number, "kind": "a", "flag": True}
        self.trials[number] = Trial(number, Proposal(params, rationale="try"), started_s=float(number))
        self.tell("trial_proposed", study=self.snapshot(), trial=self.trials[number])

    def report(self, number: int, step: int, **metrics: float) -> None:
        trial = self.trials[number]
        self.tell("trial_reported", study=self.snapshot(), trial=trial, step=step, metrics=metrics)

    def end(self, number: int, **changes: Any) -> None:
        ended = {"ended_s": 10.0 + number, "seconds": 2.0, **changes}
        self.trials[number] = replace(self.trials[number], **ended)
        self.tell("trial_finished", study=self.snapshot(), trial=self.trials[number])

    def complete(self, number: int, value: float, keep: bool = False) -> None:
        decision = Decision("keep" if keep else "discard", "a reason", {"gain": 0.1}) if number else None
        self.end(number, status="completed", evaluation=_scores(value), decision=decision)
        if keep:
            self.incumbent = number
            best = self._study.directory / "best"
            best.mkdir(exist_ok=True)
            (best / "model.bin").write_bytes(b"weights")
            self.tell("incumbent_changed", study=self.snapshot(), trial=self.trials[number])

    def first_half(self) -> None:
        """The baseline, then two trials at once, of which one becomes the incumbent."""
        self.tell("study_started", study=self.snapshot())
        self.propose(0)
        self.complete(0, 0.3)
        self.propose(1)
        self.propose(2)
        for step in range(3):
            self.report(1, step, loss=1.0 - step / 10)
            self.report(2, step, loss=1.0, reward=float(step))
        self.complete(1, 0.5, keep=True)

    def second_half(self) -> None:
        """A failure, a trial whose job started twice, a cancelled one, the end."""
        self.end(2, status="failed", error="ValueError: no", error_kind="exception")
        self.propose(3)
        self.report(3, 0, loss=1.0)
        self.trials[3] = replace(self.trials[3], attempt=2)
        self.report(3, 0, loss=1.0)
        self.complete(3, 0.4)
        self.propose(4)
        self.end(4, status="cancelled", error="the study ended")
        for number in (0, self.incumbent):
            self.trials[number] = replace(self.trials[number], test=_scores(0.45, split="test"))
        self.tell("study_finished", study=self.snapshot(finished="4 trials done"))

    def whole(self) -> None:
        self.first_half()
        self.second_half()


def _scores(value: float, split: Any = "validation") -> Evaluation:
    return Evaluation(split, "accuracy", value, n=100, low=value - 0.1, high=value + 0.1, details={"format": 0.9})


def _manager(tracker: Tracker) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(tracker)
    return manager
