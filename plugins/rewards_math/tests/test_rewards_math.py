"""Exact match and format: the contract, and tables of real completions."""

import pytest

from core.plugins import discover
from core.testing import RewardConformance


class TestExactMatch(RewardConformance):
    name = "exact_match"


class TestFormat(RewardConformance):
    name = "format"


@pytest.mark.parametrize(
    ("completion", "answer", "score"),
    [
        ("=42", "42", 1.0),
        (";24=42", "42", 1.0),
        (";99=42", "42", 1.0),
        ("=43", "42", 0.0),
        ("=42=42", "42", 0.0),
        ("=42 ", "42", 0.0),
        ("42", "42", 0.0),
        ("=042", "42", 0.0),
        ("", "42", 0.0),
        ("=42", None, None),
    ],
)
def test_only_the_whole_right_completion_is_rewarded(completion: str, answer: str | None, score: float | None) -> None:
    reward = discover().build("reward", {"name": "exact_match"})
    assert reward(prompts=["40+2"], completions=[completion], answer=[answer]) == [score]


def test_without_whole_the_last_answer_counts() -> None:
    reward = discover().build("reward", {"name": "exact_match", "pattern": r"#### (\d+)", "whole": False})
    texts = ["so #### 7, no: #### 42", "#### 42 then #### 7", "none"]
    assert reward(prompts=[""] * 3, completions=texts, answer=["42"] * 3) == [1.0, 0.0, 0.0]


def test_a_pattern_without_a_group_is_refused_with_the_reason() -> None:
    from core.errors import UsageError

    with pytest.raises(UsageError, match=r"task.rewards.exact_match.pattern: needs exactly one group"):
        discover().configure("reward", {"name": "exact_match", "pattern": r"\d+"}, where="task.rewards.exact_match")


@pytest.mark.parametrize(("completion", "score"), [("=1", 1.0), (";1=1", 1.0), ("1", 0.0), ("=1;", 0.0), (";=1", 0.0)])
def test_format_looks_at_the_form_only(completion: str, score: float) -> None:
    assert discover().build("reward", {"name": "format"})([""], [completion]) == [score]
