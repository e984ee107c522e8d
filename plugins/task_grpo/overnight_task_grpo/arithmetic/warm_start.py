"""The warm start: a few hundred supervised steps that teach the tiny model what a sum looks like."""

import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any

from overnight_huggingface.packaged import save_whole
from overnight_task_grpo.arithmetic.config import BaseModelConfig
from overnight_task_grpo.arithmetic.data import completion, pairs
from overnight_task_grpo.arithmetic.model import make_model, make_tokenizer

_RECIPE = 1  # raise when the code below changes what comes out


def base_path(config: BaseModelConfig, cache: Path) -> Path:
    """Where the warm-started model of this configuration stands, once it is made."""
    shape = json.dumps({"recipe": _RECIPE, **config.model_dump()}, sort_keys=True)
    return cache / "grpo_arithmetic" / hashlib.sha256(shape.encode()).hexdigest()[:16]


def make_base(config: BaseModelConfig, cache: Path) -> Path:
    """The warm-started model's folder; trains it if it is not there. One caller at a time."""
    target = base_path(config, cache)
    if target.is_dir():
        return target
    save_whole(*_train(config), target)
    return target


def _train(config: BaseModelConfig) -> tuple[Any, Any]:
    import torch

    torch.manual_seed(config.seed)
    started = time.monotonic()
    tokenizer = make_tokenizer()
    model = make_model(config, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step + 1, config.steps))
    rng = random.Random(config.seed)
    drawn = pairs("train", config.seed, (1, 3))
    vocabulary = tokenizer.get_vocab()
    model.train()
    for step in range(1, config.steps + 1):
        batch = _batch(
            tokenizer, [next(drawn) for _ in range(config.batch_size)], rng, config.thinking_share, vocabulary
        )
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == config.steps:
            print(f"warm start: step {step}/{config.steps}, loss {loss.item():.3f}, "
                  f"{time.monotonic() - started:.0f} s", flush=True)  # fmt: skip
    return model.eval(), tokenizer


def _rate(step: int, steps: int) -> float:
    """The learning rate's factor: 50 steps up, constant, the last fifth down (warm-up, stable,
    decay: Hu et al. 2024, arXiv 2404.06395)."""
    return min(1.0, step / 50, max(0.02, (steps - step) / (0.2 * steps)))


def _batch(
    tokenizer: Any, sums: list[tuple[int, int]], rng: random.Random, thinking_share: float, vocabulary: dict[str, int]
) -> dict[str, Any]:
    """Prompts and right completions, padded on the left; only completions are learned."""
    import torch

    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    rows = []
    for a, b in sums:
        # One token is one character: looking them up is a tenth of the cost of a tokenizer call.
        prompt = [vocabulary[char] for char in f"{a}+{b}"]
        answer = [vocabulary[char] for char in completion(str(a + b), rng.random() < thinking_share)]
        rows.append((prompt, [*answer, eos]))
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), -100)
    for i, (prompt, answer) in enumerate(rows):
        ids[i, width - len(prompt) - len(answer) :] = torch.tensor(prompt + answer)
        labels[i, width - len(answer) :] = torch.tensor(answer)
    mask = (ids != pad).long()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "labels": labels}
