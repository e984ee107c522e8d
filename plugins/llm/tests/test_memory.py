"""Lessons and memory: what the data teach, what people wrote, what an earlier study left."""

from dataclasses import replace
from pathlib import Path

import pytest

from core import SetupError, Space, StudyView, Trial
from core.testing import trials as synthetic
from overnight_llm.lessons import lessons
from overnight_llm.memory import earlier, remember, write_lessons

SPACE = Space({name: synthetic.MIXED[name] for name in ("temperature", "layers", "loss")})


def trial(number: int, score: float | None, temperature: float, layers: int = 2, loss: str = "dapo") -> Trial:
    params = {"temperature": temperature, "layers": layers, "loss": loss}
    if score is None:
        return replace(synthetic.failed(number, params), error_kind="oom")
    return synthetic.scored(number, score, params)


def taught(*trials: Trial) -> str:
    return "\n".join(lessons(SPACE, synthetic.MAXIMIZE, synthetic.scored(0, 0.1), trials))


def view(directory: Path, *trials: Trial) -> StudyView:
    return replace(synthetic.view(SPACE, trials), directory=directory)


def test_what_helped_hurt_and_failed_is_said_with_its_evidence() -> None:
    rising = [trial(i, 0.2 + i / 20, 0.5 + i / 10, 1 + i % 3, "grpo" if i > 4 else "dapo") for i in range(1, 9)]
    failures = [trial(9, None, 1.0, 8), trial(10, None, 0.7, 7)]
    text = taught(*rising, *failures)
    assert "Best so far: trial 8, accuracy 0.6 (0.55 … 0.65, n=100); the baseline scored 0.1." in text
    assert "Higher temperature helped: rank correlation +1.00 over 8 trials; the best 2 had 1.2 … 1.3." in text
    assert "loss=grpo helped: 0.2 accuracy on average (4 trials with it, 4 without)." in text
    assert "2 trials failed with oom (9, 10): all with layers at or above 7, where 0 of 8 others completed." in text
    assert "layers helped" not in text


def test_noise_teaches_little() -> None:
    scores = [0.5, 0.3, 0.6, 0.4, 0.45, 0.55, 0.35, 0.5]
    text = taught(*(trial(i, score, 0.5 + ((i * 5) % 8) / 10) for i, score in enumerate(scores, 1)))
    assert "helped" not in text and "hurt" not in text


def test_lower_is_better_where_the_objective_says_so() -> None:
    falling = [trial(i, 1 - i / 20, 0.5 + i / 10) for i in range(1, 9)]
    text = "\n".join(lessons(SPACE, synthetic.MINIMIZE, None, falling))
    assert "Higher temperature helped" in text and "Best so far: trial 8" in text


def test_nothing_is_said_of_nothing() -> None:
    assert lessons(SPACE, synthetic.MAXIMIZE, None, []) == []
    assert lessons(SPACE, synthetic.MAXIMIZE, None, [synthetic.cancelled(1)]) == []


def test_a_persons_text_in_lessons_md_stays_and_is_read(tmp_path: Path) -> None:
    path, where = tmp_path / "lessons.md", view(tmp_path, trial(1, 0.3, 1.0))
    assert write_lessons(where, ["large steps diverge"]) == ""
    path.write_text(path.read_text().replace("# Lessons", "# Lessons\n\nI saw layers=4 work.") + "And this.\n")
    for _ in range(2):
        assert write_lessons(view(tmp_path, trial(1, 0.3, 1.0), trial(2, 0.4, 1.1)), ["small batches are noisy"]) == ""
    known = remember(where)
    assert "I saw layers=4 work." in known.notes and "And this." in known.notes and "Best so far" not in known.notes
    assert known.opinions == ("small batches are noisy", "large steps diverge")
    assert path.read_text().count("Best so far: trial 2") == 1


def test_a_lesson_that_utf8_cannot_write_is_written_without_what_it_cannot(tmp_path: Path) -> None:
    assert write_lessons(view(tmp_path, trial(1, 0.3, 1.0, loss="\ud83d")), ["cut \ud83d"]) == ""
    assert "- cut\n" in (tmp_path / "lessons.md").read_text(encoding="utf-8")


def test_a_directory_that_cannot_be_written_is_said_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "lessons.md").mkdir()
    assert "lessons.md could not be written" in write_lessons(view(tmp_path, trial(1, 0.3, 1.0)), [])
    assert remember(view(tmp_path)).notes == ""


def test_no_earlier_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"policy\.memory"):
        earlier(view(tmp_path), str(tmp_path / "nothing"))
