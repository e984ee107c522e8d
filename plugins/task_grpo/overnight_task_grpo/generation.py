"""Batched generation, for evaluation and preflight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Progress(Protocol):
    """The part of a context that generation reports to."""

    def report(self, step: int, total: int | None = None, **metrics: float) -> None: ...

    def should_stop(self) -> bool: ...


@dataclass(frozen=True)
class Completion:
    """text: special tokens left out. tokens: how many, the end token included. truncated: it did
    not end by itself."""

    text: str
    tokens: int
    truncated: bool


def complete(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    batch_size: int,
    progress: Progress,
    temperature: float = 0.0,
) -> list[Completion]:
    """One completion per prompt, in the prompts' order: greedy, or sampled at a temperature above 0.

    Prompts of similar length share a batch. Raises InterruptedError when the context says stop:
    a part of the completions is worth nothing to anyone.
    """
    import torch

    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    ends = _end_tokens(model, tokenizer)
    found: dict[int, Completion] = {}
    for start in range(0, len(order), batch_size):
        if progress.should_stop():
            raise InterruptedError(f"stopped after {start} of {len(order)} completions")
        chosen = order[start : start + batch_size]
        batch = tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True, add_special_tokens=False)
        batch = {name: tensor.to(model.device) for name, tensor in batch.items() if name != "token_type_ids"}
        with torch.inference_mode():
            output = model.generate(
                **batch, max_new_tokens=max_new_tokens, pad_token_id=tokenizer.pad_token_id, **sampling
            )
        new = output[:, batch["input_ids"].shape[1] :].tolist()
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        for i, ids, text in zip(chosen, new, texts, strict=True):
            length = next((place + 1 for place, token in enumerate(ids) if token in ends), None)
            found[i] = Completion(text, length or len(ids), length is None)
        progress.report(len(found), len(prompts))
    return [found[i] for i in range(len(prompts))]


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
