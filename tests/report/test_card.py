"""The model card: readable by the hub, true to the verdict, and silent about the machine it was made on."""

import json
from dataclasses import replace
from pathlib import Path

import yaml

from core.contracts import Evaluation, ModelFacts
from core.report.card import model_card
from core.report.checkpoint import Checkpoint
from core.report.model import Described, describe
from factories import facts, finished, trial

MODEL = Checkpoint(Path("/nowhere"), "model", "AutoModelForCausalLM", has_tokenizer=True)
KNOWN = Described(ModelFacts(base_model="org/base", datasets=("org/data",), license="mit", recipe={"batch": 8}))


def _front(card: str) -> dict[str, object]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_the_front_matter_is_what_the_hub_reads_and_the_scores_have_n_and_interval() -> None:
    study = finished(Path("/home/someone/secret"))
    card = model_card(study, study.study.trial(11), MODEL, KNOWN, "me/mine")
    front = _front(card)
    assert (front["base_model"], front["datasets"], front["library_name"]) == ("org/base", ["org/data"], "transformers")
    (entry,) = front["model-index"]  # type: ignore[misc]
    assert [result["dataset"]["split"] for result in entry["results"]] == ["test", "validation"]
    assert entry["results"][0]["metrics"][0]["value"] == 0.43
    for words in (
        "Gain on test: +0.270",
        "not confirmed",
        "0.400 to 0.461",
        "1000",
        'from_pretrained("me/mine")',
        "batch",
    ):
        assert words in card
    assert "secret" not in card


def test_names_that_would_break_yaml_or_markdown_are_taken_literally() -> None:
    study = finished(Path("/nowhere"), name='a: "b" # <script>\n---\nlicense: x | `c`')
    card = model_card(study, study.study.trial(11), MODEL, KNOWN)
    assert _front(card)["license"] == "mit"
    assert "<script>" not in card.split("---\n", 2)[2]


def test_scores_that_the_script_gave_itself_are_called_that() -> None:
    own = [Evaluation("validation", "loss", value, 1, value, value, "none", self_reported=True) for value in (1.0, 0.9)]
    base, best = (replace(trial(n, 80, "keep"), evaluation=evaluation) for n, evaluation in enumerate(own))
    card = model_card(facts(Path("/nowhere"), base, best, incumbent=1), best, MODEL, KNOWN)
    assert card.count("self-reported by the script") >= 3
    assert "Gain on test" not in card


def test_a_local_base_model_is_not_given_away_and_an_adapter_says_what_it_belongs_to() -> None:
    study = finished(Path("/nowhere"))
    adapter = Checkpoint(Path("/nowhere"), "adapter", "AutoModelForCausalLM", base="/home/me/base")
    card = model_card(study, study.study.trial(11), adapter, Described(ModelFacts()))
    assert "/home/me" not in card
    assert "BASE_MODEL" in card
    assert "base_model" not in _front(card)
    known = model_card(study, study.study.trial(11), adapter, KNOWN)
    assert 'from_pretrained("org/base")' in known
    assert _front(known)["base_model_relation"] == "adapter"


def test_without_the_tasks_plugin_the_configuration_is_read_and_the_card_says_so() -> None:
    study = finished(Path("/nowhere"))
    found = describe(replace(study.study, config={"task": {"name": "gone", "model": "org/base", "data": "org/data"}}))
    assert (found.facts.base_model, found.facts.datasets) == ("org/base", ("org/data",))
    card = model_card(study, study.study.trial(11), MODEL, found)
    assert "written without all its sources" in card
    json.dumps(_front(card))
