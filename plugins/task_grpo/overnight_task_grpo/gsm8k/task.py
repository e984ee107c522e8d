"""Task `grpo_gsm8k`: GRPO on word problems with an instruct model, full size or on two cores."""

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from core import (
    EvaluateContext,
    Evaluation,
    ItemScore,
    ModelFacts,
    Objective,
    Preflight,
    SetupError,
    Space,
    TrainContext,
)
from overnight_task_grpo.gsm8k import models, prompts
from overnight_task_grpo.gsm8k.config import Gsm8kConfig
from overnight_task_grpo.gsm8k.describe import model_facts
from overnight_task_grpo.gsm8k.grading import is_correct
from overnight_task_grpo.gsm8k.hub import check_on_hub
from overnight_task_grpo.gsm8k.source import GYM, is_local, local_file
from overnight_task_grpo.threads import use_given_threads
from overnight_task_grpo.trainer import GrpoSettings


class GrpoGsm8k:
    """GRPO on GSM8K (or other problems with one answer) with an instruct model, LoRA or full."""

    Config = Gsm8kConfig

    def __init__(self, config: Gsm8kConfig) -> None:
        self._config = config
        unknown = sorted(set(config.space) - set(config.defaults()))
        if unknown:
            known = ", ".join(config.defaults())
            raise SetupError(f"task.space.{unknown[0]}: grpo_gsm8k has no such hyperparameter; it has {known}")

    @property
    def objective(self) -> Objective:
        """pass@1: the share of problems that one greedy completion solves."""
        return Objective("pass@1", "maximize")

    @property
    def space(self) -> Space:
        """As configured under `task.space`."""
        return Space(self._config.space)

    def check(self) -> None:
        """Are model and data there? See core.contracts.ChecksItself."""
        config = self._config
        models.check_model(config)
        if config.data.startswith(GYM):
            if importlib.util.find_spec("reasoning_gym") is None:
                raise SetupError("task.data: reasoning-gym is not installed; pip install reasoning-gym")
        elif is_local(config.data):
            local_file(config.data, "train")
            local_file(config.data, "test")
        else:
            check_on_hub("dataset", config.data, None, "task.data")

    def model_facts(self) -> ModelFacts:
        """For the model card; see core.contracts.DescribesModel."""
        return model_facts(self._config)

    def prepare(self, cache: Path) -> None:
        """Convert or download the model and cut the data, once per configuration and machine."""
        use_given_threads()
        models.prepare_model(self._config, cache)
        path = self._rows_file(cache)
        if not path.exists():
            prompts.make_rows(self._config, models.load_tokenizer(self._config, cache), path)

    def preflight(self, context: TrainContext) -> Preflight:
        """Samples a few groups from the starting model; see core.contracts.HasPreflight."""
        from overnight_task_grpo.gsm8k.preflight import measure

        use_given_threads()
        prepared = json.loads(self._rows_file(context.cache).read_text(encoding="utf-8"))
        tokenizer = models.load_tokenizer(self._config, context.cache)
        params = self._params(context)
        dtype = models.weights_dtype(self._config, training_all=not params["lora_rank"])
        model = _on_device(models.load_base(self._config, context.cache, dtype))
        return measure(self._config, self._settings(params), params["lora_rank"], prepared, model, tokenizer, context)

    def train(self, context: TrainContext) -> None:
        """GRPO from the starting model; see core.contracts.Task."""
        from overnight_task_grpo.trainer import train_grpo

        use_given_threads()
        params = self._params(context)
        rank = params["lora_rank"]
        rows = json.loads(self._rows_file(context.cache).read_text(encoding="utf-8"))["rows"]
        tokenizer = models.load_tokenizer(self._config, context.cache)
        dtype = models.weights_dtype(self._config, training_all=not rank)
        model = models.load_base(self._config, context.cache, dtype)
        train_grpo(model, tokenizer, rows, self._settings(params), context, self._adapter(rank) if rank else None)

    def evaluate(
        self, checkpoint: Path | None, split: Literal["validation", "test"], context: EvaluateContext
    ) -> Evaluation:
        """One greedy completion of each held-out problem, right or wrong."""
        from overnight_task_grpo.generation import complete

        use_given_threads()
        config = self._config
        problems = prompts.held_out(config, split, context.sealed)
        tokenizer = models.load_tokenizer(config, context.cache)
        dtype = models.weights_dtype(config, training_all=False)
        if checkpoint is None:
            model = models.load_base(config, context.cache, dtype)
        else:
            model = models.load_checkpoint(config, checkpoint, context.cache, dtype)
        texts = prompts.rendered(tokenizer, [prompts.messages(config, problem.question) for problem in problems])
        length = config.recipe.max_completion_length
        found = complete(_on_device(model).eval(), tokenizer, texts, length, config.eval_batch_size, context)
        scores = [
            ItemScore(_item_id(problem.question), float(is_correct(completion.text, problem.answer)))
            for problem, completion in zip(problems, found, strict=True)
        ]
        details = {
            "truncated": sum(completion.truncated for completion in found) / len(found),
            "completion_length": sum(completion.tokens for completion in found) / len(found),
        }
        return Evaluation.from_items(split, self.objective.metric, scores, details)

    def _rows_file(self, cache: Path) -> Path:
        return prompts.rows_file(self._config, models.base_folder(self._config, cache), cache)

    def _params(self, context: TrainContext) -> Mapping[str, Any]:
        return self._config.defaults() | dict(context.params)

    def _settings(self, params: Mapping[str, Any]) -> GrpoSettings:
        config = self._config
        recipe = {name: params[name] for name in config.recipe.model_dump()}
        return GrpoSettings(
            **recipe,
            micro_batch=config.micro_batch,
            gradient_checkpointing=config.gradient_checkpointing,
            vllm_memory_share=config.vllm_memory_share if config.vllm == "auto" and _vllm_works() else None,
        )

    def _adapter(self, rank: int) -> Any:
        from peft import LoraConfig

        lora = self._config.lora
        targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
        return LoraConfig(
            r=rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
        )


def _on_device(model: Any) -> Any:
    import torch

    return model.to("cuda") if torch.cuda.is_available() else model


def _vllm_works() -> bool:
    import torch

    return torch.cuda.is_available() and importlib.util.find_spec("vllm") is not None


def _item_id(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:16]
