"""Task `sft_f1`: supervised fine-tuning of a text classifier of two classes, scored by F1."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import (
    EvaluateContext,
    Evaluation,
    ModelFacts,
    Objective,
    Preflight,
    Program,
    SetupError,
    Space,
    Split,
    TrainContext,
)
from overnight_huggingface import recipe as recipes
from overnight_huggingface.compute import set_up_cpu
from overnight_huggingface.data import is_local, local_paths, need_whole_path
from overnight_huggingface.hub import check_columns, check_on_hub
from overnight_huggingface.models import StartingModel
from overnight_task_sft.f1 import scoring, splits, training
from overnight_task_sft.f1.config import SftF1Config
from overnight_task_sft.f1.describe import model_facts
from overnight_task_sft.f1.encoder import EncoderClassifier
from overnight_task_sft.f1.generative import GenerativeClassifier, words
from overnight_task_sft.f1.labelled import TextClassifier, TrainingData
from overnight_task_sft.f1.preflight import measure
from overnight_task_sft.f1.source import columns_of

_EXAMPLES = {"encoder": "protectai/deberta-v3-base-prompt-injection-v2", "generative": "Qwen/Qwen2.5-0.5B-Instruct"}


class SftF1:
    """Fine-tunes an encoder or a chat model to tell two kinds of text apart; F1 with an interval."""

    Config = SftF1Config

    def __init__(self, config: SftF1Config) -> None:
        self._config = config
        self._start = StartingModel(config.model, config.model_preset, config.revision, config.chat_template)
        form = EncoderClassifier if config.form == "encoder" else GenerativeClassifier
        self._form: TextClassifier = form(config, self._start)
        unknown = sorted(set(config.space) - set(config.defaults()))
        if unknown:
            known = ", ".join(config.defaults())
            raise SetupError(f"task.space.{unknown[0]}: sft_f1 has no such hyperparameter; it has {known}")

    @property
    def objective(self) -> Objective:
        """F1 of the positive class, or the mean over both."""
        return Objective(self._config.metric, "maximize")

    @property
    def space(self) -> Space:
        """As configured under `task.space`."""
        return Space(self._config.space)

    def check(self) -> None:
        """Are model and data there, and is the data about two classes? See core.contracts.ChecksItself."""
        self._start.check(_EXAMPLES[self._config.form], chat=self._config.form == "generative")
        if is_local(self._config.data):
            need_whole_path(self._config.data, "task.data")
            cut = splits.split(self._config)
            self._check_words(cut.negative, cut.positive)
        else:
            info = check_on_hub("dataset", self._config.data, None, "task.data")
            check_columns(info, self._config.data_name, columns_of(self._config))

    def program(self) -> Program:
        """The recipe; see core.contracts.HasProgram."""
        return recipes.program(training.RECIPE, ("recipe", "data"))

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
        path = splits.rows_file(self._config, cache)
        if not path.exists():
            splits.make_rows(self._config, path)
        data = self._data(cache)
        self._check_words(data.negative, data.positive)

    def preflight(self, context: TrainContext) -> Preflight:
        """Counts what would be cut, and estimates the memory; see core.contracts.HasPreflight."""
        set_up_cpu()
        return measure(self._config, self._form, self._data(context.cache), self._params(context), context.cache)

    def train(self, context: TrainContext) -> None:
        """Cross-entropy on the training texts; see core.contracts.Task."""
        set_up_cpu()
        params = self._params(context)
        self._form.train(training.chosen_rows(self._data(context.cache), params, context), params, context)

    def evaluate(self, checkpoint: Path | None, split: Split, context: EvaluateContext) -> Evaluation:
        """F1 on the held-out texts, at the threshold that is best on the validation texts (for both splits)."""
        set_up_cpu()
        config = self._config
        score = self._form.scorer(self._data(context.cache), checkpoint, context.cache)

        def scored(part: str) -> tuple[list[tuple[str, int]], list[float]]:
            items = splits.held_out(config, part, context.sealed)
            return items, score([text for text, _ in items], context)

        items, shares = scored(split)
        threshold = config.threshold
        if threshold is None:
            known, likely = (items, shares) if split == "validation" else scored("validation")
            threshold = scoring.best_threshold(likely, [label for _, label in known], config.metric)
        ids = [splits.item_id(text) for text, _ in items]
        return scoring.evaluation(split, config.metric, ids, shares, [label for _, label in items], threshold)

    def _check_words(self, negative: str, positive: str) -> None:
        if self._config.form == "generative":
            words(self._config, negative, positive)

    def _params(self, context: TrainContext) -> Mapping[str, Any]:
        return self._config.defaults() | dict(context.params)

    def _data(self, cache: Path) -> TrainingData:
        found = json.loads(splits.rows_file(self._config, cache).read_text(encoding="utf-8"))
        rows = tuple((text, label) for text, label in found["rows"])
        return TrainingData(rows, found["positive"], found["negative"])
