"""Task grpo_arithmetic: the contract with real (tiny) training, splits that never meet, sealed answers."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from core import SetupError
from core.errors import UsageError
from core.plugins import discover
from core.testing import TaskConformance
from core.testing.contexts import Context
from overnight_task_grpo.arithmetic import data

TINY: dict[str, Any] = {
    "name": "grpo_arithmetic",
    "validation_items": 24,
    "test_items": 30,
    "train_prompts": 64,
    "base": {"hidden_size": 16, "intermediate_size": 32, "layers": 1, "heads": 2, "steps": 20, "batch_size": 16},
    "space": {
        "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True, "default": 1e-3},
        "steps": {"type": "int", "low": 2, "high": 6, "default": 3},
        "num_generations": {"type": "categorical", "choices": [2, 4], "default": 4},
        "prompts_per_step": {"type": "categorical", "choices": [2, 4], "default": 2},
    },
}


class TestGrpoArithmetic(TaskConformance):
    name = "grpo_arithmetic"
    options: ClassVar[dict[str, Any]] = {key: value for key, value in TINY.items() if key != "name"}
    rewards: ClassVar[dict[str, dict[str, Any]]] = {"exact_match": {"weight": 1.0}, "format": {"weight": 0.1}}

    def test_its_metrics_carry_the_fields_names(self, trained: Context) -> None:
        _, total, metrics = trained.steps[-1]
        assert total == 3
        assert {"reward", "reward_std", "loss", "grad_norm", "entropy", "kl", "reward_exact_match"} <= metrics.keys()

    def test_the_checkpoint_loads_with_from_pretrained(self, trained: Context) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(trained.checkpoint_dir)
        tokenizer = AutoTokenizer.from_pretrained(trained.checkpoint_dir)
        assert tokenizer.decode(tokenizer("12+345")["input_ids"]) == "12+345"
        assert model.config.vocab_size == len(tokenizer)

    def test_the_same_seed_trains_the_same_model(self, trained: Context, home: Path) -> None:
        again = self.context(home / "again", home)
        self.make().train(again)
        losses = [[metrics["loss"] for step, _, metrics in run.steps if step] for run in (again, trained)]
        assert losses[0] == losses[1]

    def test_another_base_model_has_another_place_in_the_cache(self, home: Path) -> None:
        before = set((home / "cache" / "grpo_arithmetic").iterdir())
        other = TINY | {"base": TINY["base"] | {"seed": 5}}
        discover().build("task", other).prepare(home / "cache")
        assert len(set((home / "cache" / "grpo_arithmetic").iterdir()) - before) == 1


def test_splits_never_share_a_sum() -> None:
    held_out = {split: {item["prompt"] for item in data.held_out(split, 1000)} for split in ("validation", "test")}
    trained = {row["prompt"] for seed in range(3) for row in data.training_prompts(4096, seed)}
    warm = {f"{a}+{b}" for a, b in itertools.islice(data.pairs("train", 1, (1, 3)), 20000)}
    assert all(len(items) == 1000 for items in held_out.values())
    assert not held_out["validation"] & held_out["test"]
    assert not (held_out["validation"] | held_out["test"]) & (trained | warm)


@pytest.mark.parametrize(
    ("text", "right"),
    [("=42", True), (";24=42", True), (";11=42", True), ("=42=", False), ("=4", False), ("42", False), ("=42 ", False)],
)
def test_a_completion_is_right_as_a_whole_or_not(text: str, right: bool) -> None:
    assert data.is_right(text, "42") is right


def test_without_a_reward_training_refuses_and_names_the_setting(tmp_path: Path) -> None:
    task = discover().build("task", TINY)
    (tmp_path / "cache").mkdir()
    task.prepare(tmp_path / "cache")
    (tmp_path / "out").mkdir()
    context = Context(tmp_path / "cache", tmp_path / "sealed", tmp_path / "out", params=task.space.defaults())
    with pytest.raises(SetupError, match=r"task.rewards"):
        task.train(context)


def test_a_parameter_that_the_task_does_not_have_is_refused_by_name() -> None:
    space = {"learning_speed": {"type": "float", "low": 0, "high": 1, "default": 0.5}}
    with pytest.raises((SetupError, UsageError), match="learning_speed"):
        discover().build("task", TINY | {"space": space})


_AUDITED = """
import sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
from core.worker.__main__ import main
code = main()
sealed = [path for path in opened if "-sealed" in path]
print("SEALED", sealed, code)
"""


@pytest.mark.slow
def test_a_training_process_opens_no_evaluation_answers(tmp_path: Path) -> None:
    """The real worker, its every open() watched: training touches nothing sealed, evaluation does."""
    env = {**os.environ, "OVERNIGHT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    task = discover().build("task", TINY)
    spec = {"task": TINY, "deadline_s": 300, "params": dict(task.space.defaults()), "seed": 1}
    rewards = {"exact_match": {"weight": 1.0}}
    said = {}
    for phase in ("validation", "train"):
        folder = tmp_path / phase
        folder.mkdir()
        order = {
            **spec,
            "phase": phase,
            "baseline": phase == "validation",
            "rewards": rewards if phase == "train" else {},
        }
        (folder / "spec.json").write_text(json.dumps(order))
        ran = subprocess.run([sys.executable, "-c", _AUDITED], cwd=folder, env=env, capture_output=True, text=True)
        assert json.loads((folder / "result.json").read_text())["status"] == "succeeded", ran.stderr[-2000:]
        said[phase] = ran.stdout.splitlines()[-1]
    assert "validation-24.json" in said["validation"]
    assert said["train"] == "SEALED [] 0"


@pytest.mark.slow
def test_grpo_more_than_doubles_the_default_starting_model_and_a_bad_learning_rate_ruins_it(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    import overnight_task_grpo.conf as conf
    from core import WeightedReward

    shipped = Path(conf.__file__).parent / "task" / "grpo_arithmetic.yaml"
    node: Any = OmegaConf.to_container(OmegaConf.load(shipped))
    node.pop("rewards")
    registry = discover()
    task = registry.build("task", node)
    (tmp_path / "cache").mkdir()
    task.prepare(tmp_path / "cache")
    reward = WeightedReward("exact_match", 1.0, registry.build("reward", {"name": "exact_match"}))

    def score(**params: Any) -> float:
        folder = tmp_path / "-".join(map(str, params.values())).join("cx")
        folder.mkdir()
        values = {**task.space.defaults(), **params}
        context = Context(tmp_path / "cache", tmp_path / "sealed", folder, params=values, rewards=(reward,))
        task.train(context)
        return task.evaluate(folder, "test", context).value

    base = task.evaluate(None, "test", Context(tmp_path / "cache", tmp_path / "sealed", tmp_path)).value
    good, ruined = score(learning_rate=1e-4, steps=60), score(learning_rate=1e-2, steps=20)
    assert good > 2 * base
    assert ruined < 0.5 * base


@pytest.mark.slow
def test_training_goes_on_from_a_partial_checkpoint_to_the_same_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from core import WeightedReward

    registry = discover()
    task = registry.build("task", {"name": "grpo_arithmetic"})
    (tmp_path / "cache").mkdir()
    task.prepare(tmp_path / "cache")
    reward = WeightedReward("exact_match", 1.0, registry.build("reward", {"name": "exact_match"}))

    def trained(name: str, **more: Any) -> Context:
        (tmp_path / name).mkdir()
        params = {**task.space.defaults(), "steps": 6}
        context = Context(
            tmp_path / "cache", tmp_path / "sealed", tmp_path / name, params=params, rewards=(reward,), **more
        )
        task.train(context)
        return context

    whole = trained("whole")
    lost = trained("lost", partial_each_step=True, stop_after=4)
    assert [folder.name for folder in lost.partial_dir.iterdir()] == ["checkpoint-4"]
    (lost.partial_dir / "checkpoint-9").mkdir()  # half-written: no trainer_state.json
    resumed = trained("resumed", resume_from=lost.partial_dir)
    assert [step for step, _, metrics in whole.steps if "loss" in metrics] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _, metrics in resumed.steps if "loss" in metrics] == [5, 6]
    expected, got = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "resumed"))
    assert all(got[name].allclose(weights, atol=1e-6) for name, weights in expected.items())


def test_the_card_says_that_it_is_a_toy() -> None:
    found = discover().build("task", {"name": "grpo_arithmetic"}).model_facts()
    assert found.base_model is None
    assert found.recipe["max_completion_length"] == 12
    assert any("toy" in note for note in found.notes)
