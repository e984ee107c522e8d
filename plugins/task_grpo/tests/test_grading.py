"""Grading: the answer that a completion gives, on real completions and on every form they come in."""

import json
import time
from fractions import Fraction
from pathlib import Path

import pytest

from core.testing import RewardConformance
from overnight_task_grpo.gsm8k.grading import as_number, equal, extract_answer, is_correct

# Sampled from SmolLM2-135M-Instruct on GSM8K training questions under four prompts, at most 160 tokens;
# `answer` is what a person reads as the completion's answer (for a truncated one its last number).
REAL = [json.loads(line) for line in (Path(__file__).parent / "completions.jsonl").read_text("utf-8").splitlines()]


class TestCorrectness(RewardConformance):
    name = "correctness"


@pytest.mark.parametrize("row", REAL, ids=range(len(REAL)))
def test_real_completions_are_read_as_a_person_reads_them(row: dict[str, str | None]) -> None:
    text, answer = row["text"], row["answer"]
    assert isinstance(text, str)
    found = extract_answer(text)
    assert (found is None) == (answer is None)
    if found is not None and answer is not None:
        assert as_number(found) == Fraction(answer)
    gold = row["gold"]
    assert isinstance(gold, str)
    assert is_correct(text, gold) == (answer is not None and Fraction(answer) == Fraction(gold))


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("3 + 4 = 7, so\n#### 7", "7"),
        ("#### $18", "18"),
        ("#### 18 dollars", "18"),
        ("#### 1,000,000", "1000000"),
        ("#### -2", "-2"),
        ("#### 3 + 4 = 7", "7"),
        ("#### The answer is 7", "7"),
        ("first #### 5, no: #### 6", "6"),
        ("so \\boxed{1,080}", "1080"),
        ("\\boxed{1{,}080}", "1080"),
        ("\\boxed{\\frac{1}{2}}", "0.5"),
        ("\\boxed{x = 3}", "3"),
        ("\\boxed{2\\sqrt{3}}", "\\sqrt{12}"),
        ("\\boxed{18\\text{ dollars}}", "18"),
        ("\\boxed{\\$18}", "18"),
        ("\\boxed{50\\%}", "50"),
        ("\\boxed{Yes}", "yes"),
        ("\\boxed{4} then \\boxed{5}", "5"),
        ("The answer is: 50%", "50"),
        ("the answer is $18.", "18"),
        ("**Answer:** 18", "18"),
        ("The final answer is \\( 18 \\).", "18"),
        ("The answer is 2.25 x 100 = 225 cents.", "225"),
        ("The answer is 3 apples. That leaves 9.", "3"),
        ("So the answer would be 12.", "12"),
        ("It costs $1,234.50 in total", "1234.5"),
        ("she needs 2 1/2 cups", "2.5"),
        ("which is 3/4 of it", "0.75"),
        ("16 / 4 = 4", "4"),
        ("it falls to -5 degrees", "-5"),
        ("he has \u22127", "-7"),
        ("pages 3-4", "4"),
        ("100 - 6", "6"),
        ("x = -3", "-3"),
        ("(-3)", "-3"),
        ("= .5", "1/2"),
        ("18.0", "18"),
        ("$18$", "18"),
        ("€20 each", "20"),
    ],
)
def test_right_answers_are_right_in_every_form(completion: str, right: str) -> None:
    assert is_correct(completion, right), extract_answer(completion)


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("I cannot help with that.", "5"),
        ("", "5"),
        ("####", "5"),
        ("4 + 1 = 5, so #### ", "5"),
        ("5 of them, \\boxed{", "5"),
        ("five", "5"),
        ("The answer is 1.5 million", "1500000"),
        ("1/0", "0"),
        ("#### 51", "5"),
        ("#### 5.1", "5"),
        ("#### -5", "5"),
        ("on 12/3/2024", "2024"),
        ("\\boxed{9^{999999999}}", "5"),
        ("\\boxed{9^{9^{9^{9}}}}", "5"),
        ("\\boxed{99999!}", "5"),
        ("9" * 5000, "9"),
        ("1/" * 5000, "7"),
        ("{" * 5000 + "\\boxed{" * 500, "1"),
    ],
)
def test_wrong_missing_and_hostile_answers_are_wrong_and_quick(completion: str, right: str) -> None:
    started = time.process_time()
    assert not is_correct(completion, right), extract_answer(completion)
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("1/2", "0.5", True),
        ("50%", "50", True),
        ("\\frac{3}{4}", "0.75", True),
        ("yes", "Yes.", True),
        ("a", "b", False),
    ],
)
def test_equality_is_of_meaning_not_of_spelling(left: str, right: str, same: bool) -> None:
    assert equal(left, right) == same
