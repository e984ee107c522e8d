"""The editable recipe: as it stands it changes nothing, a patched one shapes the run."""

from pathlib import Path
from typing import Any

import pytest

from core import HasProgram, Program
from core.plugins import discover
from core.testing.contexts import Context
from overnight_huggingface import recipe as recipes
from overnight_huggingface.data import remembered
from overnight_task_grpo.trainer import RECIPE


@pytest.mark.parametrize("name", ["grpo_arithmetic", "grpo_gsm8k", "sft_f1"])
def test_the_program_is_the_recipe_with_what_may_be_done_with_it(name: str) -> None:
    task = discover().build("task", {"name": name})
    assert isinstance(task, HasProgram)
    program = task.program()
    assert set(program.files) == {"recipe.py"}
    assert "recipe" in program.required_calls
    assert "What it cannot change" in program.about
    # Its own text passes the checks that a patch must pass.
    text = program.files["recipe.py"]
    assert (
        program.patched(program.diff(Program({"recipe.py": text + "# more\n"}))).files["recipe.py"].endswith("more\n")
    )


def test_the_recipe_as_it_stands_changes_nothing(tmp_path: Path) -> None:
    recipe = recipes.load(Context(tmp_path, tmp_path, tmp_path / "c"), RECIPE)
    args: dict[str, Any] = {"learning_rate": 1e-5}
    rows, scores = [{"prompt": "1+1"}], [0.5, None]
    assert recipe.recipe(args, {}) is args
    assert recipe.data(rows, {}) is rows
    assert recipe.shape("exact_match", scores, ["2", "3"], {}) is scores


def test_a_patched_recipe_is_what_trains(tmp_path: Path) -> None:
    text = RECIPE.read_text().replace("    return args", "    return {**args, 'steps': params['x']}")
    recipe = recipes.load(Context(tmp_path, tmp_path, tmp_path / "c", program={"recipe.py": text}), RECIPE)
    assert recipe.recipe({"a": 1}, {"x": 2}) == {"a": 1, "steps": 2}


def test_what_data_was_made_of_is_remembered_where_it_cannot_be_read(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("1")
    assert remembered(tmp_path / "cache", str(data), lambda: "one") == "one"
    data.unlink()

    def unreadable() -> str:
        raise AssertionError

    assert remembered(tmp_path / "cache", str(data), unreadable) == "one"
    assert remembered(tmp_path / "cache", "owner/name", lambda: "hub") == "hub"


@pytest.mark.slow
def test_real_grpo_trains_by_a_patched_recipe(tmp_path: Path) -> None:
    task = discover().build("task", {"name": "grpo_arithmetic", "base": {"steps": 30}, "train_prompts": 64})
    (tmp_path / "cache").mkdir()
    reward = discover().build("reward", {"name": "exact_match"}, where="task.rewards.exact_match")
    from core import WeightedReward

    text = RECIPE.read_text().replace("    return args", "    args['max_steps'] = 3\n    return args")
    text = text.replace("    return scores", "    return [0.25 for _ in scores]")
    context = Context(
        tmp_path / "cache", tmp_path / "sealed", tmp_path / "c", params={**task.space.defaults(), "steps": 20},
        rewards=(WeightedReward("exact_match", 1.0, reward),), program={"recipe.py": text},
    )  # fmt: skip
    context.checkpoint_dir.mkdir()
    task.prepare(context.cache)
    task.train(context)
    assert context.steps[-1][0] == 3
    assert context.steps[-1][2]["reward"] == pytest.approx(0.25)
