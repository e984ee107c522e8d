"""One GRPO run with TRL's GRPOTrainer, streamed to a training context."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import SetupError, TrainContext
from overnight_huggingface import recipe as recipes
from overnight_huggingface.compute import device_settings
from overnight_huggingface.logs import be_quiet, reporter, run_and_save

RECIPE = Path(__file__).with_name("recipe.py")

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
    be_quiet()
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    per_pass = settings.completions_per_pass
    recipe, params = recipes.load(context, RECIPE), dict(context.params)
    arguments = dict(
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
        **device_settings(),
        **_vllm_settings(settings),
    )
    chosen = GRPOConfig(**recipe.recipe(arguments, params))
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        args=chosen,
        train_dataset=Dataset.from_list(recipe.data(rows, params)),
        reward_funcs=[_shaped(reward.name, reward.function, recipe.shape, params) for reward in context.rewards],
        callbacks=[reporter(context, chosen.max_steps if chosen.max_steps > 0 else settings.steps, _NAMES)],
        peft_config=adapter,
    )
    run_and_save(trainer, tokenizer, context)


def _vllm_settings(settings: GrpoSettings) -> dict[str, Any]:
    if settings.vllm_memory_share is None:
        return {}
    share = settings.vllm_memory_share
    return {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": share}


def _shaped(name: str, function: Any, shape: Any, params: dict[str, Any]) -> Any:
    """A plain function of that name: TRL logs rewards by `__name__`, which instances lack."""

    def reward(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
        scores: list[float | None] = function(prompts=prompts, completions=completions, **columns)
        shaped: list[float | None] = shape(name, scores, completions, params)
        return shaped

    reward.__name__ = name
    return reward
