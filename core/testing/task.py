"""Conformance of tasks: the sentences of core.contracts.Task as tests, on a small configuration."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from core.contracts import ChecksItself, HasPreflight, HasProgram, Task, WeightedReward
from core.plugins import discover
from core.testing.contexts import Context
from core.testing.light import heavy_imports, missing_in_yaml


class TaskConformance:
    """Subclass it and give `name`, `options` that make it small, and `params` that train quickly.

    rewards: reward name → weight and options, for tasks that need some. The task is prepared
    and trained once for the whole class.
    """

    name: str
    options: ClassVar[dict[str, Any]] = {}
    params: ClassVar[dict[str, Any]] = {}
    rewards: ClassVar[dict[str, dict[str, Any]]] = {}

    @classmethod
    def make(cls) -> Task:
        """A fresh instance."""
        task: Task = discover().build("task", {"name": cls.name, **cls.options})
        return task

    @classmethod
    def context(cls, folder: Path, home: Path, **more: Any) -> Context:
        """A context with its own checkpoint folder and the class's shared cache."""
        folder.mkdir(parents=True, exist_ok=True)
        registry = discover()
        rewards = []
        for name, node in cls.rewards.items():
            options = dict(node)
            weight = float(options.pop("weight", 1.0))
            rewards.append(WeightedReward(name, weight, registry.build("reward", {"name": name, **options})))
        params = {**cls.make().space.defaults(), **cls.params}
        return Context(home / "cache", home / "sealed", folder, params=params, rewards=tuple(rewards), **more)

    @pytest.fixture(scope="class")
    @classmethod
    def home(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
        """A prepared cache."""
        home = tmp_path_factory.mktemp("task")
        (home / "cache").mkdir()
        cls.make().prepare(home / "cache")
        yield home

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, home: Path) -> Context:
        """The context of one finished training run."""
        context = cls.context(home / "trained", home)
        cls.make().train(context)
        return context

    def skip_if_self_reported(self, home: Path) -> None:
        """Skip what no task can promise whose training scores itself: a test split and items."""
        if self.make().evaluate(None, "validation", self.context(home / "self-reported", home)).self_reported:
            pytest.skip("scores are self-reported: there are neither items nor a test split")

    def test_objective_and_space_are_sound(self) -> None:
        task = self.make()
        assert task.objective.metric
        assert task.objective.direction in ("maximize", "minimize")
        assert len(task.space) >= 1
        assert task.space.check(task.space.defaults()) == task.space.defaults()

    def test_preparing_again_changes_nothing(self, home: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in (home / "cache").rglob("*") if path.is_file()}
        self.make().prepare(home / "cache")
        assert {path: path.stat().st_mtime_ns for path in (home / "cache").rglob("*") if path.is_file()} == before

    def test_a_preflight_measures_finite_figures_and_trains_nothing(self, home: Path) -> None:
        task = self.make()
        if isinstance(task, ChecksItself):
            task.check()
        if not isinstance(task, HasPreflight):
            pytest.skip("this task has no preflight, which is its right")
        context = self.context(home / "preflight", home)
        found = task.preflight(context)
        assert all(math.isfinite(value) for value in found.figures.values())
        assert not any(context.checkpoint_dir.iterdir())
        assert not context.sealed.exists()

    def test_training_leaves_a_checkpoint_and_reports_rising_steps(self, trained: Context) -> None:
        assert any(trained.checkpoint_dir.iterdir())
        steps = [step for step, _, _ in trained.steps]
        assert steps
        assert steps == sorted(steps)
        assert all(math.isfinite(value) for _, _, metrics in trained.steps for value in metrics.values())

    def test_training_opens_nothing_sealed(self, trained: Context) -> None:
        assert not trained.sealed.exists(), "training made or filled the evaluators' folder"

    def test_a_stop_is_honoured_and_still_leaves_a_checkpoint(self, home: Path) -> None:
        context = self.context(home / "stopped", home, stop_after=1)
        self.make().train(context)
        assert any(context.checkpoint_dir.iterdir())
        total = context.steps[-1][1]
        assert total is None or context.steps[-1][0] < total

    def test_a_changed_program_is_what_is_trained(self, home: Path) -> None:
        task = self.make()
        if not isinstance(task, HasProgram):
            pytest.skip("this task has no program that a patch could change, which is its right")
        program = task.program()
        name = next(name for name in program.files if name.endswith(".py"))
        changed = replace(program, files={**program.files, name: program.files[name] + "\n# conformance\n"})
        assert program.patched(program.diff(changed)).files == changed.files, "its required calls are all there"
        context = self.context(home / "patched", home, program=changed.files, stop_after=1)
        task.train(context)
        assert any(context.checkpoint_dir.iterdir())
        broken = {**program.files, name: "raise RuntimeError('conformance: this program was run')\n"}
        with pytest.raises(Exception, match=r"conformance|exit"):
            self.make().train(self.context(home / "broken-program", home, program=broken))
        assert all(Path(place).exists() for place in task.training_reads())

    def test_the_same_checkpoint_scores_the_same_twice(self, trained: Context, home: Path) -> None:
        first, second = (
            self.make().evaluate(trained.checkpoint_dir, "validation", self.context(home / f"e{i}", home))
            for i in (1, 2)
        )
        assert first.items == second.items
        assert (first.value, first.low, first.high) == (second.value, second.low, second.high)

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_the_untouched_model_is_evaluated_with_n_and_interval(self, home: Path, split: Any) -> None:
        task = self.make()
        if split == "test":
            self.skip_if_self_reported(home)
        found = task.evaluate(None, split, self.context(home / "baseline", home))
        assert found.problem() is None
        assert found.split == split
        assert found.metric == task.objective.metric
        if found.self_reported:
            assert (found.n, found.low, found.high, found.interval) == (1, found.value, found.value, "none")
        else:
            assert found.n == len(found.items) > 0

    def test_items_keep_their_names_and_splits_share_none(self, trained: Context, home: Path) -> None:
        self.skip_if_self_reported(home)
        task = self.make()
        ids = {}
        splits: tuple[Any, ...] = ("validation", "test")
        for split in splits:
            base = task.evaluate(None, split, self.context(home / "b", home))
            ours = task.evaluate(trained.checkpoint_dir, split, self.context(home / "o", home))
            ids[split] = {item.id for item in base.items}
            assert ids[split] == {item.id for item in ours.items}
        assert not ids["validation"] & ids["test"]

    def test_a_checkpoint_that_is_not_whole_is_an_error_not_a_score(self, home: Path) -> None:
        broken = home / "broken"
        broken.mkdir(exist_ok=True)
        with pytest.raises(Exception):  # noqa: B017 - any error will do; a score will not
            self.make().evaluate(broken, "validation", self.context(home / "e3", home))

    def test_naming_it_imports_nothing_heavy(self) -> None:
        assert heavy_imports("task", self.name) == []

    def test_every_setting_can_be_given_on_the_command_line(self) -> None:
        assert missing_in_yaml("task", self.name) == set()
