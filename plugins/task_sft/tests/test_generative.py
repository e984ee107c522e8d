"""Task sft_f1, generative form: the contract with a tiny chat model, prompts, class weights, adapters, bad input."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from core import SetupError
from core.plugins import discover
from core.testing import TaskConformance
from core.testing.contexts import Context
from overnight_huggingface import tiny_chat
from overnight_task_sft.f1.prompt import IGNORED, Example, Prompt, answer_losses, batch_of

SMALL: dict[str, Any] = {
    "form": "generative",
    "instruction": "{text}? {negative}/{positive}",
    "label_words": {"benign": "n", "attack": "yy"},
    "recipe": {"learning_rate": 2e-2, "epochs": 6, "batch_size": 16, "max_length": 12},
    "eval_batch_size": 16,
    "space": {"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True, "default": 2e-2}},
}


def write_data(path: Path) -> Path:
    """100 texts; those that begin with "!" are attacks, two fifths of all."""
    rows = [
        {"text": f"{'!?!' if i % 5 < 2 else 'abc'} {i}", "label": "attack" if i % 5 < 2 else "benign"}
        for i in range(100)
    ]
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture(scope="module", autouse=True)
def _assets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("generative")
    SMALL.update(model=str(tiny_chat.make(folder / "model")), data=str(write_data(folder / "data.json")))
    yield
    del SMALL["model"], SMALL["data"]


def build(**changes: Any) -> Any:
    return discover().build("task", {"name": "sft_f1", **SMALL, **changes})


def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(SMALL["model"])


class TestGenerative(TaskConformance):
    name = "sft_f1"
    options: ClassVar[dict[str, Any]] = SMALL

    def test_training_beats_the_untouched_model_and_the_checkpoint_says_how_to_ask(
        self, trained: Context, home: Path
    ) -> None:
        task = build(threshold=0.5)  # one chosen on validation would let the untouched model tell these few apart
        ours = task.evaluate(trained.checkpoint_dir, "test", self.context(home / "g1", home))
        base = task.evaluate(None, "test", self.context(home / "g2", home))
        assert ours.value > base.value + 0.3
        note = json.loads((trained.checkpoint_dir / "sft_f1.json").read_text())
        assert note == {"instruction": "{text}? n/yy", "words": ["n", "yy"], "max_length": 12}

    def test_adapters_train_and_are_merged_for_scoring(self, home: Path) -> None:
        context = self.context(home / "adapters", home)
        task = build(lora={"rank": 2})
        task.train(context)
        assert (context.checkpoint_dir / "adapter_config.json").is_file()
        assert task.evaluate(context.checkpoint_dir, "validation", self.context(home / "ga", home)).problem() is None

    def test_a_checkpoint_without_its_note_is_not_whole(self, trained: Context, home: Path, tmp_path: Path) -> None:
        import shutil

        shutil.copytree(trained.checkpoint_dir, tmp_path / "c")
        (tmp_path / "c" / "sft_f1.json").write_text('{"max_length": 99999999}')
        with pytest.raises(RuntimeError, match="holds no whole classifier: max_length 99999999"):
            self.make().evaluate(tmp_path / "c", "validation", self.context(home / "gw", home))
        (tmp_path / "c" / "sft_f1.json").unlink()
        with pytest.raises(RuntimeError, match="holds no whole classifier"):
            self.make().evaluate(tmp_path / "c", "validation", self.context(home / "gx", home))

    def test_the_preflight_counts_the_texts_tokens_and_the_prompts_memory(self, home: Path) -> None:
        found = self.make().preflight(self.context(home / "gp", home))
        assert found.figures["longest_tokens"] == len("!?! 99")
        assert found.figures["cut_share"] == 0
        assert found.figures["positive_share"] == pytest.approx(0.4, abs=0.05)
        assert 0 < found.figures["memory_gb"] < found.figures["device_memory_gb"]
        assert not found.refusals


def test_a_long_text_is_cut_and_the_end_of_the_template_is_not() -> None:
    prompt = Prompt(tokenizer(), "{text}? {negative}/{positive}", ("n", "yy"))
    ids = prompt.example("abcdefghij", 1, max_length=3).input_ids
    assert tokenizer().decode(ids[:-1]) == "[u]abc? n/yy[a]yy"
    assert ids[-1] == tokenizer().eos_token_id
    assert prompt.answer_tokens == 3
    assert len(ids) == prompt.tokens + 3


def test_a_text_cannot_write_the_templates_own_tokens() -> None:
    prompt = Prompt(tokenizer(), "{text}?", ("n", "y"))
    harmless = prompt.example("<eos>", 0, max_length=20).input_ids[:-1]
    assert tokenizer().eos_token_id not in harmless
    assert tokenizer().eos_token_id in tokenizer()("<eos>", add_special_tokens=False)["input_ids"]


def test_padding_changes_no_loss_and_whole_logits_give_the_same() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(SMALL["model"]).eval()
    prompt = Prompt(tokenizer(), "{text}?", ("n", "yy"))
    examples = [prompt.example("a long text", 1, 20), prompt.example("b", 0, 20), prompt.example("cd", 1, 20)]
    together = answer_losses(model, batch_of(examples, 0))
    for row, example in enumerate(examples):
        alone = answer_losses(model, batch_of([example], 0))[0]
        assert torch.allclose(together[row, -example.answer :], alone, atol=1e-5)
        ids = torch.tensor([example.input_ids])
        logits = torch.log_softmax(model(ids).logits[0, :-1].float(), dim=-1)
        plain = -logits.gather(1, ids[0, 1:, None])[-example.answer :, 0]
        assert torch.allclose(alone, plain, atol=1e-5)
    assert torch.equal(together[1, :-2], torch.zeros(together.shape[1] - 2)), "what is no answer costs nothing"


def test_batches_keep_weights_and_ignore_what_is_no_answer() -> None:
    found = batch_of([Example([5, 6, 7], 2, 3.0), Example([5, 6, 7, 8, 9], 3)], pad=0)
    assert found["input_ids"].tolist() == [[0, 0, 5, 6, 7], [5, 6, 7, 8, 9]]
    assert found["attention_mask"].tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
    assert found["position_ids"].tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]
    assert found["labels"].tolist() == [[IGNORED, 6, 7], [7, 8, 9]]
    assert found["weights"].tolist() == [3.0, 1.0]


def test_a_heavier_positive_class_is_called_more_often(tmp_path: Path) -> None:
    shares = {}
    for weight in (0.05, 20.0):
        recipe = {**SMALL["recipe"], "epochs": 2, "positive_weight": weight}
        task = build(recipe=recipe, label_words={"benign": "n", "attack": "y"})
        task.prepare(tmp_path / "cache")
        context = Context(tmp_path / "cache", tmp_path / "sealed", tmp_path / f"c{weight}")
        task.train(context)
        score = task._form.scorer(task._data(context.cache), context.checkpoint_dir, context.cache)
        shares[weight] = sum(score(["abc 1", "!?! 1"], context))
    assert shares[20.0] > shares[0.05] + 0.2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label_words": {"attack": "benign"}}, "task.label_words: the labels need two different words"),
        ({"label_words": {"atack": "x"}}, "task.label_words: no text is labelled 'atack'"),
        ({"instruction": "yes or no?"}, r"instruction must hold \{text\} once"),
        ({"model_preset": "minilm"}, "model_preset minilm is for form encoder"),
        ({"form": "encoder", "lora": {"rank": 4}}, "lora is of the generative form"),
        ({"form": "encoder", "model_preset": "smollm2"}, "take model_preset=minilm"),
    ],
)
def test_bad_settings_are_one_line_that_names_the_setting(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        build(**changes).check()


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    model = str(tiny_chat.make(tmp_path / "m", template=None))
    with pytest.raises(SetupError, match="has no chat template; choose its instruct variant"):
        build(model=model).preflight(_prepared(build(model=model), tmp_path))


def test_a_template_that_drops_the_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="does not hold what the user says"):
        Prompt(_with_template("nothing"), "{text}", ("a", "b"))
    with pytest.raises(SetupError, match=r"refuses the prompt \(no\)"):
        Prompt(_with_template("{{ raise_exception('no') }}"), "{text}", ("a", "b"))


def _with_template(template: str) -> Any:
    found = tokenizer()
    found.chat_template = template
    return found


def _prepared(task: Any, tmp_path: Path) -> Context:
    task.prepare(tmp_path / "cache")
    return Context(tmp_path / "cache", tmp_path / "sealed", tmp_path / "c")
