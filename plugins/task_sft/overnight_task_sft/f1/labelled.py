"""The training texts as the forms get them, and what a form of the task must be able to do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core import EvaluateContext, TrainContext

Scorer = Callable[[Sequence[str], EvaluateContext], list[float]]
"""Texts → the probability of the positive class for each. Raises InterruptedError when told to stop."""


@dataclass(frozen=True)
class TrainingData:
    """rows: a text and 1 for positive or 0. positive, negative: the labels."""

    rows: tuple[tuple[str, int], ...]
    positive: str
    negative: str

    def positive_share(self) -> float:
        """The share of the texts that are positive."""
        return sum(label for _, label in self.rows) / len(self.rows)

    def positive_weight(self, params: Mapping[str, Any], balanced: bool) -> float:
        """The weight of the positive class in the loss, beside 1 for the other one."""
        share = self.positive_share()
        return float(params["positive_weight"]) * ((1 - share) / share if balanced else 1.0)


class TextClassifier(Protocol):
    """One form of the task."""

    def train(self, data: TrainingData, params: Mapping[str, Any], context: TrainContext) -> None:
        """Train from the starting model and save model and tokenizer in `context.checkpoint_dir`."""
        ...

    def scorer(self, data: TrainingData, checkpoint: Path | None, cache: Path) -> Scorer:
        """Load a checkpoint, or the starting model for None."""
        ...

    def token_counts(self, texts: Sequence[str], cache: Path) -> list[int]:
        """The tokens of each text, uncut."""
        ...

    def memory_gb(self, data: TrainingData, tokens: int, params: Mapping[str, Any], cache: Path) -> float:
        """An estimate of the peak memory of training with so many tokens of text at most, in GiB."""
        ...


def in_batches(
    texts: Sequence[str], size: int, context: EvaluateContext, score: Callable[[list[str]], list[float]]
) -> list[float]:
    """Score texts in batches of similar length. Raises InterruptedError when the context says stop."""
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
    found = [0.0] * len(texts)
    for start in range(0, len(order), size):
        if context.should_stop():
            raise InterruptedError(f"stopped after {start} of {len(order)} texts")
        chosen = order[start : start + size]
        for i, share in zip(chosen, score([texts[i] for i in chosen]), strict=True):
            found[i] = share
        context.report(start + len(chosen), len(texts))
    return found
