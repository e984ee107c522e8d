"""The generative form's prompt: the text in the chat template, cut without losing the template's end."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core import SetupError
from overnight_huggingface.models import rendered

IGNORED = -100
"""Marks labels that do not count, as in torch's cross_entropy."""
_PLACE = "⟦overnight-text⟧"


@dataclass(frozen=True)
class Example:
    """input_ids: prompt and answer. answer: how many of them, at the end, are the answer. weight: in the loss."""

    input_ids: list[int]
    answer: int
    weight: float = 1.0


class Prompt:
    """Turns texts into token ids; what is written in a text never counts as one of the template's tokens.

    words: for the negative and the positive label. Raises SetupError if the template refuses the
    prompt or does not hold it as it is.
    """

    def __init__(self, tokenizer: Any, instruction: str, words: tuple[str, str]) -> None:
        self.instruction = instruction.replace("{negative}", words[0]).replace("{positive}", words[1])
        self.words = words
        chat = [{"role": "user", "content": self.instruction.replace("{text}", _PLACE)}]
        whole = rendered(tokenizer, [chat], "give another with task.chat_template=FILE.jinja")[0]
        if whole.count(_PLACE) != 1:
            raise SetupError("task.chat_template: the template does not hold what the user says, once and unchanged")
        self._tokenizer = tokenizer
        self._before, self._after = (self._ids(part) for part in whole.split(_PLACE))
        self._answers = tuple([*self._ids(word), tokenizer.eos_token_id] for word in words)

    @property
    def tokens(self) -> int:
        """Of everything but the text."""
        return len(self._before) + len(self._after) + self.answer_tokens

    @property
    def answer_tokens(self) -> int:
        """Of the longer answer, the end token included."""
        return max(map(len, self._answers))

    def example(self, text: str, label: int, max_length: int, weight: float = 1.0) -> Example:
        """The prompt of a text of at most max_length tokens, followed by the word for the label."""
        inner, answer = self._ids(text, split_special_tokens=True)[:max_length], self._answers[label]
        return Example([*self._before, *inner, *self._after, *answer], len(answer), weight)

    def _ids(self, text: str, **options: Any) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False, **options)["input_ids"]
        return ids


def batch_of(examples: Sequence[Example], pad: int) -> dict[str, Any]:
    """Tensors of a batch: input_ids, attention_mask and position_ids padded on the left (batch, tokens);
    labels of the answers (batch, longest answer), IGNORED before shorter ones; weights (batch)."""
    import torch

    length, answer = max(len(each.input_ids) for each in examples), max(each.answer for each in examples)
    ids = torch.full((len(examples), length), pad)
    mask = torch.zeros_like(ids)
    for row, each in enumerate(examples):
        ids[row, length - len(each.input_ids) :] = torch.tensor(each.input_ids)
        mask[row, length - len(each.input_ids) :] = 1
    labels = ids[:, length - answer :].clone()
    for row, each in enumerate(examples):
        labels[row, : answer - each.answer] = IGNORED
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0),
        "labels": labels,
        "weights": torch.tensor([each.weight for each in examples]),
    }


def answer_losses(model: Any, batch: dict[str, Any], label_smoothing: float = 0.0) -> Any:
    """The cross-entropy of each answer token (batch, longest answer), 0 where there is none.

    Only the last positions' logits are computed where the model can do that: a batch's whole
    logits, of a vocabulary of 50,000, are what fills the memory.
    """
    import torch

    labels = batch["labels"]
    kept = labels.shape[1] + 1
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    if "logits_to_keep" in inspect.signature(plain.forward).parameters:
        inputs["logits_to_keep"] = kept
    logits = model(**inputs, use_cache=False).logits[:, -kept:-1].float()
    return torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none", label_smoothing=label_smoothing
    )
