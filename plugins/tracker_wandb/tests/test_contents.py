"""What is shown, computed from snapshots alone."""

from pathlib import Path

import pytest
from story import Story

from core import Tracker
from overnight_tracker_wandb import contents
from overnight_tracker_wandb.redact import redact


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(Tracker(), tmp_path)


def test_rows_say_the_same_whenever_they_are_computed(story):
    story.propose(0)
    story.complete(0, 0.3)
    story.propose(1)
    story.propose(2)
    story.complete(2, 0.5, keep=True)
    early = list(contents.rows(story.snapshot()))
    story.complete(1, 0.9)
    assert list(contents.rows(story.snapshot()))[:2] == early


def test_ids_are_safe_and_never_meet(tmp_path):
    names = ["plain", "with space", "with/space", "with:space", "x" * 300, "x" * 299 + "y", "ünï"]
    ids = [contents.trial_run_id(Story(Tracker(), tmp_path, id=name).snapshot(), 7) for name in names]
    assert len(set(ids)) == len(names)
    assert all(len(one) <= 128 and not set(one) & set("/\\#?%: ") for one in ids)
    assert ids[0] == "plain-0007"


def test_tags_fit_what_wandb_accepts():
    assert contents.tags("", "a", "a", "b" * 100) == ("a", "b" * 64)


@pytest.mark.parametrize(
    "key", ["api_key", "apiKey", "HF_TOKEN", "token", "db_password", "aws_secret_access_key", "credentials"]
)
def test_secrets_are_hidden(key):
    assert redact({"deep": [{key: "abc"}]}) == {"deep": [{key: "***"}]}
    assert redact({key: {"inner": "abc"}}) == {key: {"inner": "***"}}


def test_what_only_looks_like_a_secret_stays(monkeypatch):
    config = {"tokenizer": "char", "max_tokens": 8, "token": 3, "keys": ["a"], "key": "lr", "monkey": None}
    assert redact(config) == config


def test_values_of_secret_environment_variables_are_hidden_wherever_they_occur(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "hunter2hunter2")
    found = redact({"command": "run --with hunter2hunter2", "url": "https://me:pw@host/x"})
    assert found == {"command": "run --with ***", "url": "https://***@host/x"}
