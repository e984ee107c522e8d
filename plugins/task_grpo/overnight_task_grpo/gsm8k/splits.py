"""Splits: train and validation from the train file, test from the test file, and none inside another."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core import SetupError
from overnight_task_grpo.gsm8k.config import Gsm8kConfig
from overnight_task_grpo.gsm8k.source import Problem, read


@dataclass(frozen=True)
class Splits:
    """The three splits. dropped: training questions left out because they equal or overlap a
    held-out one; repeated: validation candidates left out because they stand in the test file."""

    train: tuple[Problem, ...]
    validation: tuple[Problem, ...]
    test: tuple[Problem, ...]
    dropped: int = 0
    repeated: int = 0


def split(config: Gsm8kConfig) -> Splits:
    """Read the data and cut it, always in the same way.

    Which questions become validation depends on a hash of their text alone, so that a question
    stays where it is when others come or go. Raises SetupError where too few are left.
    """
    test = _different(read(config, "test"))[: config.test_items]
    pool = _different(read(config, "train"))
    in_test = {_normal(problem.question) for problem in test}
    clean = [problem for problem in pool if _normal(problem.question) not in in_test]
    repeated = len(pool) - len(clean)
    order = sorted(clean, key=lambda problem: hashlib.sha256(_normal(problem.question).encode()).digest())
    validation = order[: config.validation_items]
    held_out = {problem.question for problem in validation}
    rest = [problem for problem in clean if problem.question not in held_out]
    train = _without_overlap(rest, [*validation, *test], config.contamination_ngram)
    dropped = len(rest) - len(train)
    if len(validation) < config.validation_items or not train:
        raise SetupError(
            f"task.data: {config.data} has {len(pool)} different questions to train on; {repeated} stand in the test "
            f"file, {dropped} overlap held-out ones, {len(validation)} are for validation, so {len(train)} are left. "
            f"Lower task.validation_items or task.test_items, or set task.contamination_ngram=0 for templated questions"
        )
    return Splits(tuple(train[: config.train_items]), tuple(validation), tuple(test), dropped, repeated)


def _different(problems: Sequence[Problem]) -> list[Problem]:
    return list({_normal(problem.question): problem for problem in reversed(problems)}.values())[::-1]


def _without_overlap(problems: Sequence[Problem], held_out: Iterable[Problem], n: int) -> list[Problem]:
    if n == 0:
        return list(problems)
    known: set[tuple[str, ...]] = set()
    for problem in held_out:
        known |= _ngrams(problem.question, n)
    return [problem for problem in problems if not known & _ngrams(problem.question, n)]


def _ngrams(text: str, n: int) -> set[tuple[str, ...]]:
    words = _normal(text).split()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def _normal(text: str) -> str:
    """Words and numbers in lower case: what makes two questions the same one."""
    return " ".join(re.findall(r"[^\W_]+(?:[.,]\d+)*|[-+*/=()]", text.casefold()))
