"""Task grpo_gsm8k: the contract with real training of a tiny chat model, adapters, preflight, bad models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from core import SetupError
from core.plugins import discover
from core.testing import TaskConformance
from core.testing.contexts import Context
from overnight_huggingface import packaged, tiny_chat

SMALL: dict[str, Any] = {
    "validation_items": 12,
    "test_items": 10,
    "contamination_ngram": 0,
    "system_prompt": "",
    "prompt_template": "{question}",
    "recipe": {"max_completion_length": 4, "steps": 3, "num_generations": 4, "prompts_per_step": 2},
    "preflight_prompts": 2,
    "space": {
        "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True, "default": 1e-3},
        "steps": {"type": "int", "low": 2, "high": 6, "default": 3},
    },
}


def write_data(folder: Path) -> Path:
    """Sums of two digits as GSM8K files; the digits' answers are what a random model can hit at times."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"question": f"{a}+{b}", "answer": f"#### {a + b}"} for a in range(10) for b in range(10)]
    for name, part in (("train", rows[:80]), ("test", rows[80:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return folder


class TestGrpoGsm8k(TaskConformance):
    name = "grpo_gsm8k"
    options: ClassVar[dict[str, Any]] = SMALL
    rewards: ClassVar[dict[str, dict[str, Any]]] = {
        "correctness": {"weight": 1.0},
        "length_penalty": {"weight": 0.5, "soft": 1, "hard": 4},
    }

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _files(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("gsm8k")
        model = tiny_chat.make(folder / "model")
        cls.options = {**SMALL, "model": str(model), "data": str(write_data(folder / "data"))}
        yield

    def test_adapters_are_small_merge_back_and_load_with_from_pretrained(self, home: Path) -> None:
        context = self.context(home / "lora", home)
        task = self.with_options(lora={"rank": 2}, micro_batch=4)
        task.train(context)
        assert (context.checkpoint_dir / "adapter_config.json").is_file()
        found = task.evaluate(context.checkpoint_dir, "validation", self.context(home / "el", home))
        assert found.problem() is None
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(context.checkpoint_dir)
        assert any("lora" in name for name, _ in model.named_parameters())
        assert AutoTokenizer.from_pretrained(context.checkpoint_dir).chat_template == tiny_chat.TEMPLATE

    def test_accumulated_gradients_are_steps_of_the_same_size(self, home: Path, trained: Context) -> None:
        context = self.context(home / "accumulated", home)
        self.with_options(micro_batch=3).train(context)  # 2, the largest divisor of 8 that is not above 3
        assert [step for step, _, _ in context.steps] == [step for step, _, _ in trained.steps]

    def test_the_preflight_measures_what_ruins_grpo(self, home: Path) -> None:
        found = self.make().preflight(self.context(home / "p", home))
        assert found.figures["prompts_cut_share"] == 0
        assert 0 < found.figures["truncated_share"] <= 1
        assert found.figures["memory_gb"] < found.figures["device_memory_gb"]
        flat = self.with_options(preflight_prompts=1, recipe={**SMALL["recipe"], "max_completion_length": 1})
        found = flat.preflight(self.context(home / "q", home))
        assert any("raise task.recipe.max_completion_length" in text for text in found.refusals)
        assert any("groups of 4 got equal rewards" in text for text in found.refusals)

    def test_prompts_that_are_too_long_are_left_out_and_counted(self, home: Path) -> None:
        task = self.with_options(prompt_template="{question}" + "." * 30, max_prompt_length=20)
        with pytest.raises(SetupError, match=r"task.max_prompt_length: all \d+ training prompts are longer than 20"):
            task.prepare(home / "cache")

    def test_training_without_a_reward_is_refused(self, home: Path) -> None:
        context = self.context(home / "unpaid", home)
        context.rewards = ()
        with pytest.raises(SetupError, match="needs at least one reward"):
            self.make().train(context)

    @classmethod
    def with_options(cls, **changes: Any) -> Any:
        return discover().build("task", {"name": cls.name, **cls.options, **changes})


def build(**options: Any) -> Any:
    return discover().build("task", {"name": "grpo_gsm8k", **SMALL, **options})


def test_a_space_with_an_unknown_hyperparameter_is_refused() -> None:
    with pytest.raises(SetupError, match=r"task.space.lr: grpo_gsm8k has no such hyperparameter; it has learning_rate"):
        build(space={"lr": {"type": "float", "low": 0.1, "high": 1.0, "default": 0.5}})


def test_a_model_folder_that_is_none_is_refused_before_anything_runs(tmp_path: Path) -> None:
    data = str(write_data(tmp_path / "data"))
    with pytest.raises(SetupError, match=r"task.model: there is no folder /no/such/model"):
        build(model="/no/such/model", data=data).check()
    with pytest.raises(SetupError, match=r"is no transformers model folder: it has no config.json"):
        build(model=str(tmp_path), data=data).check()
    with pytest.raises(SetupError, match=r"task.chat_template: there is no file nowhere.jinja"):
        build(model=str(tmp_path), data=data, chat_template="nowhere.jinja").check()


def test_relative_paths_are_refused_with_the_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = write_data(tmp_path / "data"), tiny_chat.make(tmp_path / "m")
    (tmp_path / "chat.jinja").write_text(tiny_chat.TEMPLATE)
    monkeypatch.chdir(tmp_path)
    good = {"model": str(model), "data": str(data)}
    for setting, path in (("data", "data"), ("model", "./m"), ("chat_template", "chat.jinja")):
        with pytest.raises(SetupError, match=rf"give the whole path, task.{setting}={tmp_path}/"):
            build(**{**good, setting: path}).check()


def test_data_that_cannot_work_is_refused_before_anything_runs(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    options = {"model": str(tiny_chat.make(tmp_path / "m")), "data": str(data)}
    build(**options).check()
    with pytest.raises(SetupError, match=r"task.question_column: .*no column 'problem'"):
        build(**options, question_column="problem").check()
    (data / "test.jsonl").write_text("{")
    with pytest.raises(SetupError, match=r"test.jsonl is corrupt in line 1"):
        build(**options).check()


def test_a_model_without_a_chat_template_is_refused_unless_one_is_given(tmp_path: Path) -> None:
    options = {"model": str(tiny_chat.make(tmp_path / "m", template=None)), "data": str(write_data(tmp_path / "data"))}
    (tmp_path / "cache").mkdir()
    for early in (build(**options).check, lambda: build(**options).prepare(tmp_path / "cache")):
        with pytest.raises(SetupError, match=r"has no chat template; choose its instruct variant"):
            early()
    (tmp_path / "chat.jinja").write_text(tiny_chat.TEMPLATE)
    build(**options, chat_template=str(tmp_path / "chat.jinja")).prepare(tmp_path / "cache")


def test_a_template_that_takes_no_system_message_says_what_to_do(tmp_path: Path) -> None:
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}x"
    options = {"model": str(tiny_chat.make(tmp_path / "m", strict)), "data": str(write_data(tmp_path / "data"))}
    with pytest.raises(SetupError, match=r"refuses the prompt \(no system role\).*set task.system_prompt=''"):
        build(**options | {"system_prompt": "Be brief."}).prepare(tmp_path / "cache")


def test_broken_weights_are_an_error_that_names_the_model(tmp_path: Path) -> None:
    model = tiny_chat.make(tmp_path / "m")
    (model / "model.safetensors").write_bytes(b"not weights")
    task = build(model=str(model), data=str(write_data(tmp_path / "data")))
    task.prepare(tmp_path / "cache")
    with pytest.raises(SetupError, match=r"task.model: .* cannot be loaded"):
        task.evaluate(None, "validation", Context(tmp_path / "cache", tmp_path / "sealed", tmp_path / "c"))


def test_a_gguf_that_transformers_cannot_read_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 64)
    monkeypatch.setattr(packaged, "find", lambda preset: broken)
    with pytest.raises(SetupError, match=r"task.model_preset: transformers cannot read .*gguf"):
        packaged.convert("smollm2", tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("config.json"))


def test_the_card_says_what_the_model_is_made_of() -> None:
    plain = build(model="some/model", data="some/data", system_prompt="Be brief.").model_facts()
    assert (plain.base_model, plain.datasets, plain.license) == ("some/model", ("some/data",), None)
    assert plain.recipe["lora_rank"] == 0
    assert "lora_alpha" not in plain.recipe
    assert any("Be brief." in note for note in plain.notes)
    preset = build(model_preset="smollm2", lora={"rank": 8}).model_facts()
    assert (preset.base_model, preset.license) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
    assert (preset.recipe["lora_rank"], preset.recipe["lora_alpha"]) == (8, 32.0)
    assert any("4-bit" in note for note in preset.notes)
