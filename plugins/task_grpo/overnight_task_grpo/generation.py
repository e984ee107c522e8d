"""Batched greedy generation, for evaluation."""

from collections.abc import Callable, Sequence
from typing import Any


def complete(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    batch_size: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """One greedy completion per prompt, special tokens left out. `progress` gets the count so far."""
    import torch

    completions: list[str] = []
    for start in range(0, len(prompts), batch_size):
        batch = tokenizer(list(prompts[start : start + batch_size]), return_tensors="pt", padding=True)
        batch = {name: tensor.to(model.device) for name, tensor in batch.items() if name != "token_type_ids"}
        with torch.inference_mode():
            output = model.generate(
                **batch, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )
        new = output[:, batch["input_ids"].shape[1] :]
        completions += tokenizer.batch_decode(new, skip_special_tokens=True)
        progress(len(completions))
    return completions
