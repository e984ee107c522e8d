"""Settings of task `grpo_arithmetic`."""

from typing import Literal

from pydantic import Field

from core import PluginConfig, SpaceConfig


class BaseModelConfig(PluginConfig):
    """The starting model: a Llama made here, from random weights, by supervised warm start.

    The defaults give 101,760 parameters and, after 750 steps of 128 sums, a model that gets
    about one sum in eight right: bad enough to improve, good enough to be rewarded at times.
    thinking_share: share of completions that write the sum's digits in reverse (`;72=27`)
    before the answer. Below one half the model answers at once when it decodes greedily,
    though thinking would serve it better: that is for GRPO to find out.
    steps: optimiser steps. learning_rate: AdamW's, constant but for its ends.
    """

    hidden_size: int = Field(default=64, ge=8)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    intermediate_size: int = Field(default=176, ge=8)
    steps: int = Field(default=750, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    thinking_share: float = Field(default=0.45, ge=0, le=1)
    seed: int = Field(default=1, ge=0)


class ArithmeticConfig(PluginConfig):
    """validation_items, test_items: how many held-out sums each split has. train_prompts: sums
    that GRPO draws its prompts from. max_completion_length: tokens. warmup_steps: of the
    learning rate. loss_type, scale_rewards: as in TRL's GRPOConfig. space: what a policy may
    choose: learning_rate, num_generations (completions per prompt), prompts_per_step,
    temperature, beta (KL coefficient; 0 = no reference model), steps; a parameter left out of
    the space keeps its default below.
    """

    validation_items: int = Field(default=500, ge=1, le=2000)
    test_items: int = Field(default=1000, ge=1, le=5000)
    train_prompts: int = Field(default=4096, ge=64)
    base: BaseModelConfig = Field(default_factory=BaseModelConfig)
    max_completion_length: int = Field(default=12, ge=2)
    warmup_steps: int = Field(default=5, ge=0)
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    space: SpaceConfig = Field(default_factory=dict)


DEFAULTS: dict[str, float | int] = {
    "learning_rate": 3e-5,
    "num_generations": 8,
    "prompts_per_step": 16,
    "temperature": 1.0,
    "beta": 0.04,
    "steps": 40,
}
