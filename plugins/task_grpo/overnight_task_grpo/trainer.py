"""One GRPO run with TRL's GRPOTrainer, streamed to a training context."""

import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import SetupError, TrainContext

# TRL's log keys (TRL docs, "GRPO Trainer: Logged metrics") → the names shown to people.
_NAMES = {
    "loss": "loss",
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "frac_reward_zero_std",
    "kl": "kl",
    "entropy": "entropy",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "clipped_ratio",
}


@dataclass(frozen=True)
class GrpoSettings:
    """What a run needs beside its model and data; names as in TRL's GRPOConfig.

    prompts_per_step: different prompts in one optimiser step, each with num_generations
    completions. warmup_steps: of the learning rate, constant after them. micro_batch: most
    completions in one forward pass; the largest divisor of prompts_per_step × num_generations
    that is not above it is taken, gradients are accumulated over the rest. None = all at once.
    vllm_memory_share: of the GPU, for vLLM beside the trainer (TRL's "colocate"); None =
    generate with transformers.
    """

    learning_rate: float
    num_generations: int
    prompts_per_step: int
    temperature: float
    beta: float
    steps: int
    max_completion_length: int
    warmup_steps: int
    loss_type: str
    scale_rewards: str
    micro_batch: int | None = None
    gradient_checkpointing: bool = False
    vllm_memory_share: float | None = None

    @property
    def completions_per_step(self) -> int:
        """Completions that one optimiser step learns from."""
        return self.prompts_per_step * self.num_generations

    @property
    def completions_per_pass(self) -> int:
        """Completions in one forward pass."""
        total = self.completions_per_step
        most = min(total, self.micro_batch or total)
        return next(size for size in range(most, 0, -1) if total % size == 0)


def train_grpo(
    model: Any,
    tokenizer: Any,
    rows: list[dict[str, Any]],
    settings: GrpoSettings,
    context: TrainContext,
    adapter: Any = None,
) -> None:
    """Train in place and save model (or its adapter) and tokenizer in `context.checkpoint_dir`.

    rows: dataset rows with a `prompt` (text or chat messages) and whatever columns the rewards
    read. adapter: a peft config, None = all weights are trained.
    Raises SetupError when the configuration names no reward.
    """
    if not context.rewards:
        raise SetupError("task.rewards: GRPO needs at least one reward, e.g. task.rewards.exact_match.weight=1")
    _be_quiet()
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    per_pass = settings.completions_per_pass
    arguments = GRPOConfig(
        output_dir=str(Path(context.checkpoint_dir).with_name("trainer")),
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=settings.warmup_steps,
        max_steps=settings.steps,
        num_generations=settings.num_generations,
        per_device_train_batch_size=per_pass,
        gradient_accumulation_steps=settings.completions_per_step // per_pass,
        temperature=settings.temperature,
        beta=settings.beta,
        loss_type=settings.loss_type,
        scale_rewards=settings.scale_rewards,
        max_completion_length=settings.max_completion_length,
        reward_weights=[reward.weight for reward in context.rewards],
        seed=context.seed,
        data_seed=context.seed,
        logging_steps=1,
        gradient_checkpointing=settings.gradient_checkpointing,  # TRL's default is True: less memory, more time
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **_device_settings(),
        **_vllm_settings(settings),
    )
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        reward_funcs=[_named(reward.name, reward.function) for reward in context.rewards],
        callbacks=[_reporter(context, settings.steps)],
        peft_config=adapter,
    )
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.model.save_pretrained(context.checkpoint_dir)
    tokenizer.save_pretrained(context.checkpoint_dir)


def _device_settings() -> dict[str, Any]:
    import torch

    if torch.cuda.is_available():
        return {"bf16": torch.cuda.is_bf16_supported()}
    return {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False}


def _vllm_settings(settings: GrpoSettings) -> dict[str, Any]:
    if settings.vllm_memory_share is None:
        return {}
    share = settings.vllm_memory_share
    return {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": share}


def _named(name: str, function: Any) -> Any:
    """A plain function of that name: TRL logs rewards by `__name__`, which instances lack."""

    def reward(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
        scores: list[float | None] = function(prompts=prompts, completions=completions, **columns)
        return scores

    reward.__name__ = name
    return reward


def _reporter(context: TrainContext, total: int) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        """Streams TRL's logs to the context and ends training early when it says so."""

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
        ) -> None:
            values = {_NAMES[key]: float(value) for key, value in (logs or {}).items() if key in _NAMES}
            values |= {
                f"reward_{key.split('/')[1]}": float(value)
                for key, value in (logs or {}).items()
                if key.startswith("rewards/") and key.endswith("/mean") and not math.isnan(float(value))
            }
            if values:
                context.report(state.global_step, total, **values)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if context.should_stop():
                control.should_training_stop = True

    return Reporter()


def _be_quiet() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    import transformers

    transformers.logging.set_verbosity_error()
    logging.getLogger("trl").setLevel(logging.ERROR)
