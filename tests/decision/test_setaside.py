"""Items set aside: the same ones in every evaluation, and an honest score on the others."""

import random

import pytest

from core.contracts import Evaluation, ItemScore
from core.decision.setaside import is_set_aside, refusal, selection, set_aside


def evaluation(right: int, n: int = 500) -> Evaluation:
    items = [ItemScore(f"item {i}", float(i < right)) for i in range(n)]
    return Evaluation.from_items("validation", "accuracy", items, {"format": 0.5})


def test_the_share_is_kept_and_depends_on_the_ids_alone() -> None:
    ids = [f"item {i}" for i in range(5000)]
    aside = [name for name in ids if is_set_aside(name, 0.4)]
    assert len(aside) == pytest.approx(2000, abs=120)
    random.Random(1).shuffle(ids)
    assert {name for name in ids if is_set_aside(name, 0.4)} == set(aside)


def test_score_n_and_interval_are_those_of_the_items_that_are_left() -> None:
    whole = evaluation(200)
    seen = selection(whole, 0.4)
    hidden = set_aside(whole.items, 0.4)
    assert seen.n == len(seen.items) == 500 - len(hidden)
    assert not {item.id for item in seen.items} & hidden.keys()
    assert seen == Evaluation.from_items("validation", "accuracy", seen.items, {"format": 0.5})
    assert seen.problem() is None


def test_without_a_share_nothing_is_set_aside() -> None:
    assert selection(evaluation(200), 0.0) == evaluation(200)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Evaluation("validation", "loss", 1.0, 1, 1.0, 1.0, "none", self_reported=True), "self-reported"),
        (Evaluation("validation", "accuracy", 0.5, 100, 0.4, 0.6), "no item scores"),
        (Evaluation("validation", "f1", 0.7, 100, 0.6, 0.8, items=evaluation(50, 100).items), "not the mean"),
        (evaluation(5, 12), "too few"),
    ],
)
def test_what_cannot_be_divided_stays_whole_and_says_why(found: Evaluation, words: str) -> None:
    assert selection(found, 0.4) == found
    assert words in (refusal(found, 0.4) or "")
