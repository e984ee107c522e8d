"""Where grpo_gsm8k's problems come from, how they are cut, and what is said of data that cannot work."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from core import SetupError
from overnight_task_grpo.gsm8k.config import Gsm8kConfig
from overnight_task_grpo.gsm8k.source import final_answer, read
from overnight_task_grpo.gsm8k.splits import split

REAL = Path(__file__).parents[4] / "shared/data/gsm8k"
# In CI the data is there: a test that does not find it must fail, not hide.
needs_gsm8k = pytest.mark.skipif(not REAL.is_dir() and "CI" not in os.environ, reason=f"GSM8K is not in {REAL}")


def folder(tmp_path: Path, train: list[dict[str, str]] | str, test: list[dict[str, str]] | str) -> Path:
    for name, rows in (("train", train), ("test", test)):
        text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def problems(*numbers: int) -> list[dict[str, str]]:
    return [{"question": f"What is {n} plus one?", "answer": f"Easy.\n#### {n + 1}"} for n in numbers]


@needs_gsm8k
def test_real_gsm8k_is_cut_without_contamination() -> None:
    cut = split(Gsm8kConfig(data=str(REAL)))
    assert (len(cut.validation), len(cut.test)) == (300, 1319)
    assert len(cut.train) + cut.dropped == 7473 - 300
    assert 0 < cut.dropped < 50, "a few training questions share 13 words in a row with held-out ones"
    questions = [{problem.question for problem in part} for part in (cut.train, cut.validation, cut.test)]
    assert not questions[0] & questions[1]
    assert not questions[0] & questions[2]
    assert not questions[1] & questions[2]
    assert all(problem.answer.lstrip("-").replace(",", "").replace(".", "").isdigit() for problem in cut.test)


def test_validation_stays_where_it_is_when_training_questions_come_and_go(tmp_path: Path) -> None:
    config = {"validation_items": 10}
    one = split(Gsm8kConfig(data=str(folder(tmp_path, problems(*range(60)), problems(99))), **config))
    fewer = [row for row in problems(*range(60)) if row["question"] != one.train[0].question]
    two = split(Gsm8kConfig(data=str(folder(tmp_path, fewer, problems(99))), **config))
    assert one.validation == two.validation


def test_what_stands_in_the_test_file_is_neither_trained_on_nor_selected_on(tmp_path: Path) -> None:
    again = [{**row, "question": row["question"].upper() + " "} for row in problems(1, 2, 3)]
    data = folder(tmp_path, problems(*range(30)), again)
    cut = split(Gsm8kConfig(data=str(data), validation_items=5))
    assert cut.repeated == 3
    asked = {problem.question for problem in (*cut.train, *cut.validation)}
    assert not asked & {row["question"] for row in problems(1, 2, 3)}


def test_a_long_overlap_with_a_held_out_question_keeps_a_question_out_of_training(tmp_path: Path) -> None:
    story = "A farmer has twelve brown hens and every hen lays two eggs each single day of the week"
    train = [*problems(*range(20)), {"question": f"{story}. How many in a year?", "answer": "#### 1"}]
    data = folder(tmp_path, train, [{"question": f"{story}. How many on Monday?", "answer": "#### 24"}])
    assert split(Gsm8kConfig(data=str(data), validation_items=5)).dropped == 1
    assert split(Gsm8kConfig(data=str(data), validation_items=5, contamination_ngram=0)).dropped == 0


def test_reasoning_gym_gives_different_problems_for_every_split() -> None:
    pytest.importorskip("reasoning_gym")
    options = {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1}
    config = Gsm8kConfig(
        data="reasoning_gym:chain_sum", data_options=options, validation_items=50, test_items=80, contamination_ngram=0
    )
    cut = split(config)
    assert (len(cut.validation), len(cut.test)) == (50, 80)
    assert len(cut.train) > 500
    assert cut == split(config)
    for problem in cut.train[:50]:
        assert eval(problem.question.partition(":")[2].rstrip(" =")) == int(problem.answer)


@pytest.mark.parametrize(("text", "answer"), [("so\n#### 1,080", "1,080"), ("42", "42"), ("#### 5\n#### 6 ", "6")])
def test_the_right_answer_stands_after_the_marker_or_alone(text: str, answer: str) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("train", "settings", "words"),
    [
        (
            [{"problem": "1?", "answer": "1"}],
            {},
            "task.question_column: .*, row 1, has no column 'question'. It has: p",
        ),
        ([{"question": "1?", "Answer": "1"}], {}, "row 1, has no column 'answer'. Did you mean Answer\\?"),
        ('{"question": "1?", "answer": "1"}\n{"question": ', {}, "task.data: .*train.jsonl is corrupt in line 2"),
        ("[1, 2]\n", {}, "line 1: a JSON object is needed, not '\\[1, 2\\]'"),
        ("", {}, "train.jsonl is empty"),
        ([{"question": " ", "answer": "1"}], {}, "row 1: the question or the answer is empty"),
        (problems(1, 2, 3), {"validation_items": 3}, "so 0 are left. Lower task.validation_items"),
    ],
)
def test_data_that_cannot_work_is_refused_with_the_setting_to_change(
    tmp_path: Path, train: Any, settings: dict[str, Any], words: str
) -> None:
    data = folder(tmp_path, train, problems(7))
    with pytest.raises(SetupError, match=words):
        split(Gsm8kConfig(data=str(data), **{"validation_items": 1, **settings}))


def test_a_missing_file_says_what_is_there_instead(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("question,answer\n")
    with pytest.raises(SetupError, match=r"task\.data: .* has no train\.jsonl \(it has train\.csv\)"):
        read(Gsm8kConfig(data=str(tmp_path)), "train")
    with pytest.raises(SetupError, match="the folder does not exist"):
        read(Gsm8kConfig(data="/nowhere/at/all"), "train")


def test_a_generator_that_does_not_exist_or_dislikes_its_options_is_named() -> None:
    pytest.importorskip("reasoning_gym")
    for data, options in (("chain_some", None), ("chain_sum", {"min_termz": 2})):
        with pytest.raises(SetupError, match=f"task.data: reasoning-gym cannot make '{data}'"):
            read(Gsm8kConfig(data=f"reasoning_gym:{data}", data_options=options), "train")
