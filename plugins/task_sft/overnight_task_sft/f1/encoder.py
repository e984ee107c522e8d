"""The encoder form: a classification head on an encoder, trained with transformers' Trainer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import EvaluateContext, SetupError, TrainContext
from overnight_huggingface.compute import on_device
from overnight_huggingface.logs import be_quiet, reporter, run_and_save
from overnight_huggingface.memory import training_memory_gb
from overnight_huggingface.models import StartingModel, said
from overnight_task_sft.f1 import training
from overnight_task_sft.f1.config import SftF1Config
from overnight_task_sft.f1.labelled import Scorer, TrainingData, in_batches

_HEAD_SEED = 0  # a new classification head is the same in every process, so that the baseline is one model


class EncoderClassifier:
    """See overnight_task_sft.f1.labelled.TextClassifier."""

    def __init__(self, config: SftF1Config, start: StartingModel) -> None:
        self._config, self._start = config, start

    def train(self, data: TrainingData, params: Mapping[str, Any], context: TrainContext) -> None:
        """Cross-entropy over the two classes."""
        be_quiet()
        import torch
        from datasets import Dataset
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

        model = self.starting_model(context.cache, data.negative, data.positive)
        tokenizer = self._start.tokenizer(context.cache)
        tokenizer.model_max_length = params["max_length"]  # saved with it: evaluation cuts texts where training did
        coded = tokenizer([text for text, _ in data.rows], truncation=True, max_length=params["max_length"])
        positive = class_index(model, data.positive)
        labels = [positive if label else 1 - positive for _, label in data.rows]
        weight = data.positive_weight(params, self._config.balanced)
        weights = (weight, 1.0) if positive == 0 else (1.0, weight)

        def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
            scale = torch.tensor(weights, device=outputs.logits.device)
            return torch.nn.functional.cross_entropy(
                outputs.logits.float(), labels, weight=scale, label_smoothing=params["label_smoothing"]
            )

        trainer = Trainer(
            model=model,
            args=TrainingArguments(**training.arguments(self._config, len(data.rows), params, context)),
            train_dataset=Dataset.from_dict({**coded, "labels": labels}),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_loss_func=loss,
            callbacks=[reporter(context, training.steps(len(data.rows), params), training.LOGGED)],
        )
        run_and_save(trainer, tokenizer, context)

    def scorer(self, data: TrainingData, checkpoint: Path | None, cache: Path) -> Scorer:
        """The probability of the positive class by the head's softmax."""
        be_quiet()
        import torch

        if checkpoint is None:
            model, length = self.starting_model(cache, data.negative, data.positive), self._config.recipe.max_length
        else:
            model, length = _trained(checkpoint)
        tokenizer, index = self._start.tokenizer(cache), class_index(model, data.positive)
        model = on_device(model).eval()

        def shares(texts: list[str]) -> list[float]:
            batch = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=length)
            with torch.inference_mode():
                logits = model(**batch.to(model.device)).logits.double()
            found: list[float] = torch.softmax(logits, dim=-1)[:, index].tolist()
            return found

        def score(texts: Sequence[str], context: EvaluateContext) -> list[float]:
            return in_batches(texts, self._config.eval_batch_size, context, shares)

        return score

    def token_counts(self, texts: Sequence[str], cache: Path) -> list[int]:
        """Special tokens included, as max_length counts them."""
        return [len(ids) for ids in self._start.tokenizer(cache)(list(texts), verbose=False)["input_ids"]]

    def memory_gb(self, data: TrainingData, tokens: int, params: Mapping[str, Any], cache: Path) -> float:
        """All weights are trained, in float32."""
        model = self.starting_model(cache, data.negative, data.positive)
        weights = sum(weight.numel() for weight in model.parameters())
        batch = params["batch_size"]
        passed = batch * min(tokens, params["max_length"])
        checkpointing = self._config.gradient_checkpointing
        return training_memory_gb(
            model.config, weights, weights, 4, passed, 2 * batch, gradient_checkpointing=checkpointing
        )

    def starting_model(self, cache: Path, negative: str, positive: str) -> Any:
        """The starting classifier of two classes: the model's own head where it has one for two,
        else a new one. A head that names the labels the other way round keeps its order. Raises
        SetupError if it cannot be loaded."""
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        source, revision = self._start.source(cache), self._start.revision
        try:
            shape = AutoConfig.from_pretrained(source, revision=revision)
            names = [str(shape.id2label.get(i, "")).casefold() for i in (0, 1)]
            turned = names == [positive.casefold(), negative.casefold()]
            order = [positive, negative] if turned else [negative, positive]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_HEAD_SEED)
                return AutoModelForSequenceClassification.from_pretrained(
                    source,
                    revision=revision,
                    dtype=torch.float32,
                    num_labels=2,
                    id2label=dict(enumerate(order)),
                    label2id={label: i for i, label in enumerate(order)},
                    ignore_mismatched_sizes=True,
                )
        except Exception as error:
            raise SetupError(f"task.model: {source} cannot be loaded as a classifier: {said(error)}") from error


def class_index(model: Any, label: str) -> int:
    """Which of the model's two outputs stands for a label."""
    return int(model.config.label2id[label])


def _trained(checkpoint: Path) -> tuple[Any, int]:
    """A trained classifier and the length in tokens that it was trained with."""
    from transformers import AutoModelForSequenceClassification

    try:
        length = int(json.loads((checkpoint / "tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"])
        return AutoModelForSequenceClassification.from_pretrained(checkpoint), length
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise RuntimeError(f"{checkpoint} holds no whole classifier: {error}") from error
