"""Task `sft_f1`: supervised fine-tuning of a text classifier of two classes, scored by F1."""

import json
from pathlib import Path
from typing import Any

from core import EvaluateContext, Evaluation, Objective, SetupError, Space, Split, TrainContext
from overnight_task_sft.f1 import models, splits
from overnight_task_sft.f1.config import SftF1Config
from overnight_task_sft.f1.hub import check_on_hub
from overnight_task_sft.f1.source import is_local
from overnight_task_sft.threads import use_given_threads


class SftF1:
    """Fine-tunes an encoder to tell two kinds of text apart; F1 with an interval, threshold from validation."""

    Config = SftF1Config

    def __init__(self, config: SftF1Config) -> None:
        self._config = config
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
        models.check_model(self._config)
        if is_local(self._config.data):
            splits.split(self._config)
        else:
            check_on_hub("dataset", self._config.data, None, "task.data")

    def prepare(self, cache: Path) -> None:
        """Download the model and cut the data, once per configuration and machine."""
        use_given_threads()
        path = splits.rows_file(self._config, cache)
        if not path.exists():
            models.load_tokenizer(self._config)
            splits.make_rows(self._config, path)

    def train(self, context: TrainContext) -> None:
        """Cross-entropy on the training texts; see core.contracts.Task."""
        from overnight_task_sft.f1 import classifier

        use_given_threads()
        config, params = self._config, self._config.defaults() | dict(context.params)
        data = self._train_data(context.cache)
        classifier.be_quiet()
        model = models.load_base(config, data["negative"], data["positive"])
        positive = models.class_index(model, data["positive"])
        rows = [(text, positive if label else 1 - positive) for text, label in data["rows"]]
        weight = params["positive_weight"]
        if config.balanced:
            weight *= sum(1 - label for _, label in data["rows"]) / sum(label for _, label in data["rows"])
        weights = (weight, 1.0) if positive == 0 else (1.0, weight)
        tokenizer = models.load_tokenizer(config)
        classifier.train(model, tokenizer, rows, weights, params, config.dtype, context)

    def evaluate(self, checkpoint: Path | None, split: Split, context: EvaluateContext) -> Evaluation:
        """F1 on the held-out texts, at the threshold that is best on the validation texts (for both splits)."""
        from overnight_task_sft.f1 import classifier, scoring

        use_given_threads()
        classifier.be_quiet()
        config, data = self._config, self._train_data(context.cache)
        if checkpoint is None:
            model = models.load_base(config, data["negative"], data["positive"])
            length = config.recipe.max_length
        else:
            model, length = models.load_checkpoint(checkpoint)
        tokenizer = models.load_tokenizer(config)
        index = models.class_index(model, data["positive"])

        def score(part: str) -> tuple[list[tuple[str, int]], list[float]]:
            items = splits.held_out(config, part, context.sealed)
            texts = [text for text, _ in items]
            shares = classifier.probabilities(model, tokenizer, texts, index, length, config.eval_batch_size, context)
            return items, shares

        items, shares = score(split)
        threshold = config.threshold
        if threshold is None:
            known, likely = (items, shares) if split == "validation" else score("validation")
            threshold = scoring.best_threshold(likely, [label for _, label in known], config.metric)
        ids = [splits.item_id(text) for text, _ in items]
        return scoring.evaluation(split, config.metric, ids, shares, [label for _, label in items], threshold)

    def _train_data(self, cache: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(splits.rows_file(self._config, cache).read_text(encoding="utf-8"))
        return found
