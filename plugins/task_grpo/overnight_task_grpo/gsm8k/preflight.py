"""Preflight of a GRPO run: what silently ruins it, measured on a few groups before money is spent."""

import math
import time
from collections.abc import Mapping
from typing import Any

from core import Preflight, SetupError, TrainContext
from overnight_huggingface.compute import device_memory_gb
from overnight_huggingface.memory import adapter_weights, training_memory_gb
from overnight_task_grpo.generation import Completion, complete
from overnight_task_grpo.gsm8k.config import Gsm8kConfig
from overnight_task_grpo.gsm8k.prompts import rendered
from overnight_task_grpo.trainer import GrpoSettings

# Shares above which training is doubtful or pointless. Truncated completions get no reward however
# right they were going to be, and groups without spread have advantage 0 (TRL docs, "GRPO Trainer").
_TRUNCATED = (0.2, 0.9)
_FLAT = (0.5, 1.0)
_CUT = (0.05, 0.5)
_MEMORY = (0.85, 1.0)


def measure(
    config: Gsm8kConfig,
    settings: GrpoSettings,
    lora_rank: int,
    prepared: Mapping[str, Any],
    model: Any,
    tokenizer: Any,
    context: TrainContext,
) -> Preflight:
    """Sample `preflight_prompts` groups with the default settings and score them with the rewards.

    prepared: facts and rows of the training data. Raises SetupError when there is no reward.
    """
    import torch

    if not context.rewards:
        raise SetupError("task.rewards: GRPO needs at least one reward, e.g. +task.rewards.correctness.weight=1")
    torch.manual_seed(context.seed)
    rows, group = prepared["rows"][: config.preflight_prompts], settings.num_generations
    repeated = [row for row in rows for _ in range(group)]
    texts = rendered(tokenizer, [row["prompt"] for row in repeated])
    started = time.monotonic()
    found = complete(
        model.eval(),
        tokenizer,
        texts,
        settings.max_completion_length,
        batch_size=min(len(texts), config.eval_batch_size),
        progress=context,
        temperature=settings.temperature,
    )
    seconds = time.monotonic() - started
    scores = _scores(repeated, found, context)
    facts = prepared["facts"]
    memory, device = memory_gb(config, settings, lora_rank, model, facts["longest"]), device_memory_gb()
    figures = {
        "truncated_share": _mean([completion.truncated for completion in found]),
        "zero_spread_share": _mean([max(g) - min(g) < 1e-9 for g in _groups(scores, group)]),
        "prompts_cut_share": facts["too_long"] / facts["problems"],
        "overlapping_dropped": float(facts["overlapping"]),
        "mean_reward": _mean(scores),
        "completion_length": _mean([completion.tokens for completion in found]),
        "generated_tokens_per_s": sum(completion.tokens for completion in found) / seconds,
        "memory_gb": memory,
        "device_memory_gb": device,
    }
    return _judge(figures, settings, config)


def _judge(figures: dict[str, float], settings: GrpoSettings, config: Gsm8kConfig) -> Preflight:
    length, group = settings.max_completion_length, settings.num_generations
    rules = [
        (figures["truncated_share"], _TRUNCATED,
         f"{figures['truncated_share']:.0%} of completions are cut off at {length} tokens and teach nothing: raise "
         f"task.recipe.max_completion_length, or ask for shorter answers in task.system_prompt"),
        (figures["zero_spread_share"], _FLAT,
         f"{figures['zero_spread_share']:.0%} of groups of {group} got equal rewards and teach nothing (mean reward "
         f"{figures['mean_reward']:.3f}): choose problems the model sometimes solves, raise num_generations or "
         f"temperature, or add a reward that varies, e.g. task.rewards.format.weight=0.2"),
        (figures["prompts_cut_share"], _CUT,
         f"{figures['prompts_cut_share']:.0%} of training prompts are longer than {config.max_prompt_length} tokens "
         f"and left out: raise task.max_prompt_length"),
        (figures["memory_gb"] / figures["device_memory_gb"], _MEMORY,
         f"training needs about {figures['memory_gb']:.1f} GiB of {figures['device_memory_gb']:.1f} GiB: lower "
         f"task.micro_batch, set task.gradient_checkpointing=true or task.lora.rank=16"),
    ]  # fmt: skip
    warnings = tuple(text for value, (doubtful, vain), text in rules if doubtful <= value < vain)
    refusals = tuple(text for value, (_, vain), text in rules if value >= vain)
    return Preflight(figures, warnings, refusals)


def memory_gb(config: Gsm8kConfig, settings: GrpoSettings, lora_rank: int, model: Any, prompt: int) -> float:
    """An estimate of the peak memory of training, in GiB; prompt: tokens of the longest."""
    count = sum(weight.numel() for weight in model.parameters())
    passed = settings.completions_per_pass
    return training_memory_gb(
        model.config,
        count,
        adapter_weights(lora_rank, model.config) if lora_rank else count,
        next(model.parameters()).element_size(),
        passed * (prompt + settings.max_completion_length),
        passed * settings.max_completion_length * model.config.vocab_size,
        reference=settings.beta > 0 and not lora_rank,
        gradient_checkpointing=config.gradient_checkpointing,
    )


def _scores(rows: list[dict[str, Any]], found: list[Completion], context: TrainContext) -> list[float]:
    """The weighted sum of all rewards, as TRL would pay it; a reward that does not apply pays nothing."""
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}
    chats = [[{"role": "assistant", "content": completion.text}] for completion in found]
    total = [0.0] * len(rows)
    for reward in context.rewards:
        paid = reward.function(
            prompts=[row["prompt"] for row in rows],
            completions=chats,
            completion_ids=[[0] * completion.tokens for completion in found],
            **columns,
        )
        for i, score in enumerate(paid):
            if score is not None and math.isfinite(score):
                total[i] += reward.weight * score
    return total


def _groups(scores: list[float], size: int) -> list[list[float]]:
    return [scores[start : start + size] for start in range(0, len(scores), size)]


def _mean(values: list[Any]) -> float:
    return math.fsum(values) / len(values)
