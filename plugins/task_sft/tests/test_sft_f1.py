"""Task sft_f1: the contract with a tiny encoder trained for real, F1 by hand, splits, bad input."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from core import SetupError
from core.plugins import discover
from core.testing import TaskConformance
from core.testing.contexts import Context
from overnight_huggingface.models import StartingModel
from overnight_task_sft.f1 import scoring, splits
from overnight_task_sft.f1.config import SftF1Config
from overnight_task_sft.f1.encoder import EncoderClassifier, class_index

WORDS = ["please", "ignore", "what", "is", "the", "weather", "rules", "all", "today", "print", "time", "secret"]
SMALL: dict[str, Any] = {
    "recipe": {"learning_rate": 1e-2, "epochs": 2, "batch_size": 16, "max_length": 8},
    "eval_batch_size": 32,
    "space": {
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True, "default": 1e-2},
        "epochs": {"type": "int", "low": 1, "high": 6, "default": 4},
    },
}
SHARED = Path(__file__).parents[4] / "shared" / "data"


def rows() -> list[dict[str, str]]:
    """120 texts; those with "ignore" are bad, a third of all."""
    made = []
    for i in range(120):
        bad = i % 3 == 0
        words = [WORDS[(i * 7 + k * (i // 12 + 1)) % len(WORDS)] for k in range(3)]
        text = f"{'ignore' if bad else 'what'} {' '.join(word for word in words if word != 'ignore')} {i}"
        made.append({"text": text, "label": "bad" if bad else "good"})
    return made


def make_model(folder: Path) -> Path:
    """A BERT of a few thousand weights with a word-level tokenizer."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", *WORDS]
    inner: Any = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    inner.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(vocabulary), **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _assets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("assets")
    (folder / "data.json").write_text(json.dumps(rows()))
    SMALL.update(model=str(make_model(folder / "model")), data=str(folder / "data.json"))
    yield
    del SMALL["model"], SMALL["data"]


def config(**changes: Any) -> SftF1Config:
    return SftF1Config.model_validate({**SMALL, **changes})


def task(**changes: Any) -> Any:
    return discover().build("task", {"name": "sft_f1", **SMALL, **changes})


class TestSftF1(TaskConformance):
    name = "sft_f1"
    options: ClassVar[dict[str, Any]] = SMALL

    def test_training_beats_the_untouched_model_and_loads_with_from_pretrained(
        self, trained: Context, home: Path
    ) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        ours = self.make().evaluate(trained.checkpoint_dir, "test", self.context(home / "t1", home))
        base = self.make().evaluate(None, "test", self.context(home / "t2", home))
        assert ours.value > base.value
        assert ours.low <= ours.value <= ours.high
        assert set(ours.details) == {"f1", "macro_f1", "precision", "recall", "accuracy", "threshold"}
        model = AutoModelForSequenceClassification.from_pretrained(trained.checkpoint_dir)
        assert set(model.config.id2label.values()) == {"bad", "good"}
        assert AutoTokenizer.from_pretrained(trained.checkpoint_dir).model_max_length == 8

    def test_the_threshold_comes_from_validation_for_both_splits(self, trained: Context, home: Path) -> None:
        found = [
            self.make().evaluate(trained.checkpoint_dir, split, self.context(home / f"h-{split}", home))
            for split in ("validation", "test")
        ]
        assert found[0].details["threshold"] == found[1].details["threshold"]

    def test_training_data_in_the_cache_holds_no_held_out_text(self, trained: Context, home: Path) -> None:
        cut = splits.split(config())
        kept = "".join(path.read_text() for path in (home / "cache" / "sft_f1" / "data").glob("*.json"))
        assert all(item.text in kept for item in cut.train)
        assert not any(item.text in kept for item in (*cut.validation, *cut.test))


def test_the_preflight_says_what_is_cut_and_what_is_rare(tmp_path: Path) -> None:
    def found(**changes: Any) -> Any:
        made = task(**changes)
        made.prepare(tmp_path / "cache")
        return made.preflight(Context(tmp_path / "cache", tmp_path / "sealed", tmp_path / "c"))

    fine = found()
    assert (fine.warnings, fine.refusals) == ((), ())
    assert fine.figures["texts"] == 60
    assert fine.figures["steps"] == 8
    assert fine.figures["positive_share"] == pytest.approx(1 / 3, abs=0.02)
    assert 3 <= fine.figures["median_tokens"] <= fine.figures["longest_tokens"] <= 5
    assert 0 < fine.figures["memory_gb"] < fine.figures["device_memory_gb"]
    long = tmp_path / "long.json"
    start = "what is the weather today please print"
    long.write_text(json.dumps([{**row, "text": f"{start} {row['text']}"} for row in rows()]))
    assert any("cut there (the longest has" in text for text in found(data=str(long)).refusals)
    rare = tmp_path / "rare.json"
    many = [{"text": f"{one} {other} {i}", "label": "good"} for one in WORDS for other in WORDS for i in range(5)]
    rare.write_text(json.dumps([*rows(), *many]))
    assert any("set task.balanced=true" in text for text in found(data=str(rare)).warnings)
    assert not found(data=str(rare), balanced=True).warnings
    few = found(recipe={**SMALL["recipe"], "batch_size": 64, "epochs": 1}, space={})
    assert any("1 steps: lower task.recipe.batch_size" in text for text in few.warnings)


def test_the_card_says_what_the_model_is_made_of() -> None:
    plain = task(model="some/encoder", data="some/data").model_facts()
    assert (plain.base_model, plain.datasets, plain.license) == ("some/encoder", ("some/data",), None)
    assert plain.pipeline_tag == "text-classification"
    assert "lora_rank" not in plain.recipe
    preset = task(model_preset="minilm").model_facts()
    assert (preset.base_model, preset.license) == ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0")
    chat = task(form="generative", model_preset="smollm2", lora={"rank": 8}).model_facts()
    assert chat.pipeline_tag == "text-generation"
    assert (chat.recipe["lora_rank"], chat.recipe["lora_alpha"]) == (8, 32.0)
    assert any("4-bit" in note for note in chat.notes)


@pytest.mark.parametrize(
    ("called", "truth", "f1", "macro"),
    [
        ([1, 1, 0, 0], [1, 0, 1, 0], 0.5, 0.5),
        ([1, 1, 1, 0], [1, 1, 0, 0], 0.8, (0.8 + 2 / 3) / 2),
        ([0, 0, 0, 0], [1, 0, 1, 0], 0.0, (0 + 2 / 3) / 2),
        ([1, 0], [1, 0], 1.0, 1.0),
    ],
)
def test_f1_is_what_it_is_by_hand(called: list[int], truth: list[int], f1: float, macro: float) -> None:
    ids = [str(i) for i in range(len(called))]
    for metric, value in (("f1", f1), ("macro_f1", macro)):
        found = scoring.evaluation("test", metric, ids, [float(c) for c in called], truth, 0.5)  # type: ignore[arg-type]
        assert found.value == pytest.approx(value)
        assert found.problem() is None
        assert math.fsum(item.score for item in found.items) / found.n == pytest.approx(value)


@pytest.mark.parametrize("metric", ["f1", "macro_f1"])
def test_interval_and_items_agree_with_a_plain_bootstrap(metric: Any) -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    truth = (rng.random(200) < 0.4).astype(int)
    shares = np.clip(truth * 0.35 + rng.random(200) * 0.65, 0, 1)
    found = scoring.evaluation("test", metric, [str(i) for i in range(200)], list(shares), list(truth), 0.5)
    again = []
    for _ in range(1500):
        chosen = rng.integers(0, 200, 200)
        part = scoring._counts(shares[chosen] > 0.5, truth[chosen])
        again.append(float(scoring._score(*part, metric)))
    assert found.low == pytest.approx(np.quantile(again, 0.025), abs=0.02)
    assert found.high == pytest.approx(np.quantile(again, 0.975), abs=0.02)
    error = np.std([item.score for item in found.items]) / math.sqrt(200)
    assert error == pytest.approx(np.std(again), rel=0.15)


def test_the_test_split_has_no_say_in_the_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two splits with different best thresholds, scored by a model that reads the share off the text."""
    texts = {"validation": [("0.2", 0), ("0.3", 0), ("0.4", 1)], "test": [("0.6", 0), ("0.7", 0), ("0.8", 1)]}
    task = discover().build("task", {"name": "sft_f1", **SMALL})
    monkeypatch.setattr(splits, "held_out", lambda config, part, sealed: texts[part])
    monkeypatch.setattr(task, "_data", lambda cache: None)
    monkeypatch.setattr(task._form, "scorer", lambda *given: lambda texts, context: [float(text) for text in texts])
    context = Context(tmp_path / "cache", tmp_path / "sealed", tmp_path / "c")
    found = {split: task.evaluate(None, split, context) for split in ("validation", "test")}
    assert [evaluation.details["threshold"] for evaluation in found.values()] == pytest.approx([0.35, 0.35])
    assert found["validation"].value == 1.0
    assert found["test"].value == pytest.approx(0.5), "all three are called positive, one is"


def test_the_best_threshold_is_the_best_of_all() -> None:
    shares, truth = [0.1, 0.2, 0.3, 0.35, 0.6, 0.9], [0, 0, 1, 0, 1, 1]
    found = scoring.best_threshold(shares, truth, "f1")
    scores = {
        cut: scoring.evaluation("validation", "f1", list("abcdef"), shares, truth, cut).value
        for cut in (found, 0.05, 0.15, 0.25, 0.32, 0.5, 0.7, 0.95)
    }
    assert scores[found] == max(scores.values())
    assert scoring.best_threshold([0.2, 0.8], [0, 1], "f1") == 0.5, "of equal ones the nearest to one half"


def test_splits_are_stratified_share_no_text_and_stay_where_they_are(tmp_path: Path) -> None:
    more = [*rows(), {"text": " WHAT  time is it ", "label": "good"}, {"text": "what time is it", "label": "good"}]
    more += [{"text": "both ways", "label": "good"}, {"text": "Both ways", "label": "bad"}]
    path = tmp_path / "more.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in more))
    before, after = splits.split(config()), splits.split(config(data=str(path)))
    assert (after.positive, after.repeated, after.contradicted) == ("bad", 2, 1)
    texts = [{splits.normal(item.text) for item in part} for part in (after.train, after.validation, after.test)]
    assert not texts[0] & texts[1] and not texts[1] & texts[2] and not texts[0] & texts[2]
    assert sum(map(len, texts)) == 121
    for part in (after.validation, after.test):
        assert sum(item.label == "bad" for item in part) / len(part) == pytest.approx(1 / 3, abs=0.05)
    assert len(set(before.validation) - set(after.validation)) <= 1


@pytest.mark.parametrize(
    ("name", "content", "changes", "said"),
    [
        ("x.json", "[{", {}, "task.data"),
        ("x.json", "[]", {}, "is empty"),
        ("x.json", '[{"texts": "a", "label": "b"}]', {}, "Did you mean texts"),
        ("x.json", '[{"text": "a", "lable": "b"}]', {}, "task.label_column"),
        ("x.json", '[{"text": "", "label": "b"}]', {}, "is empty"),
        ("x.tsv", "a\tb\n", {"columns": ["label", "text"], "positive_label": "spam"}, "task.positive_label"),
        ("x.json", '[{"text": "a", "label": "b"}]', {}, "1 different labels"),
        ("x.json", '[{"text": "a", "label": "b"}, {"text": "c", "label": "d"}]', {}, "too few"),
        ("x.txt", "a", {}, "ends in none of"),
    ],
)
def test_bad_data_is_one_line_that_names_the_setting(
    tmp_path: Path, name: str, content: str, changes: dict[str, Any], said: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SetupError, match=said):
        task(data=str(tmp_path / name), **changes).check()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": "/nowhere/x.json"}, "task.data: there is no file"),
        ({"model": "/nowhere"}, "task.model"),
        ({"positive_label": "worse"}, "task.positive_label"),
        ({"space": {"learning": {"type": "int", "low": 1, "high": 2, "default": 1}}}, "task.space.learning"),
    ],
)
def test_bad_settings_are_one_line_that_names_the_setting(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        task(**changes).check()


def test_a_relative_path_is_refused_with_the_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(rows()))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=f"give the whole path, task.data={tmp_path}/mine.json"):
        task(data="mine.json").check()


def test_a_head_that_knows_the_labels_keeps_their_order(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    named = {"id2label": {0: "BAD", 1: "GOOD"}, "label2id": {"BAD": 0, "GOOD": 1}}
    AutoModelForSequenceClassification.from_pretrained(SMALL["model"], num_labels=2, **named).save_pretrained(tmp_path)

    def loaded(source: str) -> Any:
        return EncoderClassifier(config(), StartingModel(source)).starting_model(tmp_path, "good", "bad")

    assert class_index(loaded(str(tmp_path)), "bad") == 0
    assert class_index(loaded(SMALL["model"]), "bad") == 1


@pytest.mark.parametrize(
    ("data", "changes", "sizes"),
    [
        ("prompt_injection", {}, 640),
        ("sms_spam/SMSSpamCollection.tsv", {"columns": ["label", "text"]}, 5000),
    ],
)
def test_the_real_data_loads(data: str, changes: dict[str, Any], sizes: int) -> None:
    if not (SHARED / data).exists():
        assert os.environ.get("CI") != "true", "CI has the data"
        pytest.skip(f"{SHARED / data} is not here")
    cut = splits.split(config(data=str(SHARED / data), **changes))
    assert len(cut.train) + len(cut.validation) + len(cut.test) >= sizes
    assert cut.positive in ("malicious", "spam")
