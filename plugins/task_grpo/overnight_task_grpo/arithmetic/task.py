"""Task `grpo_arithmetic`: the embedded default, real GRPO on a machine of any size."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from core import EvaluateContext, Evaluation, ItemScore, ModelFacts, Objective, Program, SetupError, Space, TrainContext
from overnight_huggingface import recipe as recipes
from overnight_huggingface.compute import set_up_cpu
from overnight_task_grpo.arithmetic import data
from overnight_task_grpo.arithmetic.config import DEFAULTS, ArithmeticConfig
from overnight_task_grpo.arithmetic.warm_start import base_path, make_base
from overnight_task_grpo.trainer import RECIPE


class GrpoArithmetic:
    """GRPO on addition with a 100k-parameter Llama made here: no download, minutes on a CPU."""

    Config = ArithmeticConfig

    def __init__(self, config: ArithmeticConfig) -> None:
        self._config = config
        unknown = sorted(set(config.space) - set(DEFAULTS))
        if unknown:
            raise SetupError(
                f"task.space.{unknown[0]}: grpo_arithmetic has no such hyperparameter; it has {', '.join(DEFAULTS)}"
            )

    @property
    def objective(self) -> Objective:
        """Exact-match accuracy of greedy completions."""
        return Objective("accuracy", "maximize")

    @property
    def space(self) -> Space:
        """As configured under `task.space`."""
        return Space(self._config.space)

    def program(self) -> Program:
        """The recipe; see core.contracts.HasProgram."""
        return recipes.program(RECIPE, ("recipe", "data", "shape"))

    def training_reads(self) -> list[Path]:
        """Nothing beside the cache; see core.contracts.HasProgram."""
        return []

    def model_facts(self) -> ModelFacts:
        """For the model card; see core.contracts.DescribesModel."""
        config = self._config
        extra = {name: getattr(config, name) for name in ("warmup_steps", "loss_type", "scale_rewards")}
        return ModelFacts(
            pipeline_tag="text-generation",
            tags=("grpo", "trl"),
            recipe={**DEFAULTS, "max_completion_length": config.max_completion_length, **extra},
            notes=(
                "A toy that shows a whole study on any machine: a Llama of about 100,000 parameters that was made here "
                "and adds numbers of up to three digits; a prompt looks like 27+45.",
            ),
        )

    def prepare(self, cache: Path) -> None:
        """Make the warm-started model, once per configuration and machine."""
        set_up_cpu()
        make_base(self._config.base, cache)

    def train(self, context: TrainContext) -> None:
        """GRPO from the warm-started model; see core.contracts.Task."""
        from overnight_task_grpo.trainer import GrpoSettings, train_grpo

        set_up_cpu()
        params: Mapping[str, Any] = DEFAULTS | dict(context.params)
        settings = GrpoSettings(
            learning_rate=params["learning_rate"],
            num_generations=params["num_generations"],
            prompts_per_step=params["prompts_per_step"],
            temperature=params["temperature"],
            beta=params["beta"],
            steps=params["steps"],
            max_completion_length=self._config.max_completion_length,
            warmup_steps=self._config.warmup_steps,
            loss_type=self._config.loss_type,
            scale_rewards=self._config.scale_rewards,
        )
        model, tokenizer = _load(base_path(self._config.base, context.cache))
        rows = data.training_prompts(self._config.train_prompts, context.seed)
        train_grpo(model, tokenizer, rows, settings, context)

    def evaluate(
        self, checkpoint: Path | None, split: Literal["validation", "test"], context: EvaluateContext
    ) -> Evaluation:
        """Greedy completions of the held-out sums, each right or wrong as a whole."""
        from overnight_task_grpo.generation import complete

        set_up_cpu()
        items = self._sealed_items(split, context.sealed)
        model, tokenizer = _load(checkpoint or base_path(self._config.base, context.cache))
        completions = complete(
            model,
            tokenizer,
            [item["prompt"] for item in items],
            self._config.max_completion_length,
            batch_size=250,
            progress=context,
        )
        scores = [
            ItemScore(item["prompt"], float(data.is_right(found.text, item["answer"])))
            for item, found in zip(items, completions, strict=True)
        ]
        well_formed = sum(data.is_well_formed(found.text) for found in completions) / len(items)
        return Evaluation.from_items(split, self.objective.metric, scores, {"format": well_formed})

    def _sealed_items(self, split: Literal["validation", "test"], sealed: Path) -> list[dict[str, str]]:
        """The held-out sums with their answers; made on first use, in the evaluators' own folder."""
        count = self._config.validation_items if split == "validation" else self._config.test_items
        path = sealed / "grpo_arithmetic" / f"{split}-{count}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".partial-{os.getpid()}")
            partial.write_text(json.dumps(data.held_out(split, count)), encoding="utf-8")
            partial.replace(path)
        items: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
        return items


def _load(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        return AutoModelForCausalLM.from_pretrained(folder, dtype="float32"), tokenizer
    except (OSError, ValueError, RuntimeError) as error:
        raise RuntimeError(f"{folder} holds no whole model: {error}") from error
