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
    Program,
    SetupError,
    Space,
    TrainContext,
)
from overnight_huggingface import recipe as recipes
from overnight_huggingface.compute import on_device, set_up_cpu, weights_dtype
from overnight_huggingface.data import is_local, local_paths, need_whole_path
from overnight_huggingface.hub import check_columns, check_on_hub
from overnight_huggingface.models import StartingModel
from overnight_task_grpo.gsm8k import prompts
from overnight_task_grpo.gsm8k.config import Gsm8kConfig
from overnight_task_grpo.gsm8k.describe import model_facts
from overnight_task_grpo.gsm8k.grading import is_correct
from overnight_task_grpo.gsm8k.source import GYM, columns_of, read
from overnight_task_grpo.trainer import RECIPE, GrpoSettings


class GrpoGsm8k:
    """GRPO on GSM8K (or other problems with one answer) with an instruct model, LoRA or full."""

    Config = Gsm8kConfig

    def __init__(self, config: Gsm8kConfig) -> None:
        self._config = config
        self._start = StartingModel(config.model, config.model_preset, config.revision, config.chat_template)
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
        self._start.check("Qwen/Qwen2.5-0.5B-Instruct")
        if config.data.startswith(GYM):
            if importlib.util.find_spec("reasoning_gym") is None:
                raise SetupError("task.data: reasoning-gym is not installed; pip install reasoning-gym")
        elif is_local(config.data):
            need_whole_path(config.data, "task.data")
            read(config, "train")
            read(config, "test")
        else:
            info = check_on_hub("dataset", config.data, None, "task.data")
            check_columns(info, config.data_name, columns_of(config))

    def program(self) -> Program:
        """The recipe; see core.contracts.HasProgram."""
        return recipes.program(RECIPE, ("recipe", "data", "shape"))

    def training_reads(self) -> list[Path]:
        """A local model and template, not the data: its held-out part is in there; see core.contracts.HasProgram."""
        return [path for name, path in self.local_inputs().items() if name != "data"]

    def model_facts(self) -> ModelFacts:
        """For the model card; see core.contracts.DescribesModel."""
        return model_facts(self._config)

    def local_inputs(self) -> Mapping[str, Path]:
        """See core.contracts.HasLocalInputs."""
        config = self._config
        model = None if config.model_preset else config.model
        return local_paths(data=config.data, model=model, chat_template=config.chat_template)

    def prepare(self, cache: Path) -> None:
        """Convert or download the model and cut the data, once per configuration and machine."""
        set_up_cpu()
        self._start.prepare(cache)
        path = self._rows_file(cache)
        if not path.exists():
            prompts.make_rows(self._config, self._start.chat_tokenizer(cache), path)

    def preflight(self, context: TrainContext) -> Preflight:
        """Samples a few groups from the starting model; see core.contracts.HasPreflight."""
        from overnight_task_grpo.gsm8k.preflight import measure

        set_up_cpu()
        prepared = json.loads(self._rows_file(context.cache).read_text(encoding="utf-8"))
        tokenizer = self._start.chat_tokenizer(context.cache)
        params = self._params(context)
        dtype = weights_dtype(self._config.dtype, training_all=not params["lora_rank"])
        model = on_device(self._start.causal(context.cache, dtype))
        return measure(self._config, self._settings(params), params["lora_rank"], prepared, model, tokenizer, context)

    def train(self, context: TrainContext) -> None:
        """GRPO from the starting model; see core.contracts.Task."""
        from overnight_task_grpo.trainer import train_grpo

        set_up_cpu()
        params = self._params(context)
        rank = params["lora_rank"]
        rows = json.loads(self._rows_file(context.cache).read_text(encoding="utf-8"))["rows"]
        tokenizer = self._start.chat_tokenizer(context.cache)
        dtype = weights_dtype(self._config.dtype, training_all=not rank)
        model = self._start.causal(context.cache, dtype)
        train_grpo(
            model, tokenizer, rows, self._settings(params), context, self._config.lora.adapter(rank) if rank else None
        )

    def evaluate(
        self, checkpoint: Path | None, split: Literal["validation", "test"], context: EvaluateContext
    ) -> Evaluation:
        """One greedy completion of each held-out problem, right or wrong."""
        from overnight_task_grpo.generation import complete

        set_up_cpu()
        config = self._config
        problems = prompts.held_out(config, split, context.sealed)
        tokenizer = self._start.chat_tokenizer(context.cache)
        dtype = weights_dtype(config.dtype, training_all=False)
        if checkpoint is None:
            model = self._start.causal(context.cache, dtype)
        else:
            model = self._start.trained_causal(checkpoint, context.cache, dtype)
        texts = prompts.rendered(tokenizer, [prompts.messages(config, problem.question) for problem in problems])
        length = config.recipe.max_completion_length
        found = complete(on_device(model).eval(), tokenizer, texts, length, config.eval_batch_size, context)
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
        return prompts.rows_file(self._config, self._start.source(cache), cache)

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


def _vllm_works() -> bool:
    import torch

    return torch.cuda.is_available() and importlib.util.find_spec("vllm") is not None


def _item_id(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:16]
