"""The rewards for mathematics: the contract, and tables of completions."""

import pytest

from core.plugins import discover
from core.testing import RewardConformance


class TestExactMatch(RewardConformance):
    name = "exact_match"


class TestFormat(RewardConformance):
    name = "format"


class TestLengthPenalty(RewardConformance):
    name = "length_penalty"


class TestMathVerify(RewardConformance):
    name = "math_verify"


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


def test_length_costs_nothing_below_soft_and_one_above_hard() -> None:
    reward = discover().build("reward", {"name": "length_penalty", "soft": 2, "hard": 6})
    ids = [[0] * length for length in (0, 2, 3, 4, 6, 99)]
    assert reward(prompts=[""] * 6, completions=[""] * 6, completion_ids=ids) == [0.0, 0.0, -0.25, -0.5, -1.0, -1.0]
    assert reward(prompts=[""], completions=["a long one"]) == [None], "characters are no tokens"


def test_soft_must_be_below_hard() -> None:
    from core.errors import UsageError

    with pytest.raises(UsageError, match=r"soft \(9\) must be below hard \(9\)"):
        discover().configure("reward", {"name": "length_penalty", "soft": 9, "hard": 9})


@pytest.mark.parametrize(
    ("completion", "answer", "score"),
    [
        ("so the result is \\boxed{\\frac{1}{2}}", "0.5", 1.0),
        ("$x = 3$", "3", 1.0),
        ("The answer is 1,080.", "1080", 1.0),
        ("\\boxed{2\\sqrt{3}}", "\\sqrt{12}", 1.0),
        ("\\boxed{(1, 2)}", "(1,2)", 1.0),
        ("\\boxed{7}", "8", 0.0),
        ("I cannot say.", "8", 0.0),
        ("\\boxed{", "8", 0.0),
        ("\\boxed{9^{999999999}}", "8", 0.0),
        ("\\boxed{9^{9^{9^{9}}}}", "8", 0.0),
        ("\\boxed{99999!}", "8", 0.0),
        ("\\boxed{8}", None, None),
    ],
)
def test_equal_in_mathematics_is_equal(completion: str, answer: str | None, score: float | None) -> None:
    assert discover().build("reward", {"name": "math_verify"})([""], [completion], answer=[answer]) == [score]


def test_math_verify_works_in_any_thread() -> None:
    from concurrent.futures import ThreadPoolExecutor

    reward = discover().build("reward", {"name": "math_verify"})
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(reward, [""], ["\\boxed{4}"], answer=["4"]).result() == [1.0]
