"""The generative form: a chat model writes the label as a word, trained with TRL's SFTTrainer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import EvaluateContext, SetupError, TrainContext
from overnight_huggingface.compute import on_device, weights_dtype
from overnight_huggingface.logs import be_quiet, reporter, run_and_save
from overnight_huggingface.memory import adapter_weights, training_memory_gb
from overnight_huggingface.models import StartingModel
from overnight_task_sft.f1 import training
from overnight_task_sft.f1.config import SftF1Config
from overnight_task_sft.f1.labelled import Scorer, TrainingData, in_batches
from overnight_task_sft.f1.prompt import IGNORED, Example, Prompt, answer_losses, batch_of

TRAINED_WITH = "sft_f1.json"
"""In a checkpoint: the question it was trained to answer, the words for the labels, the texts' length in tokens."""


class GenerativeClassifier:
    """See overnight_task_sft.f1.labelled.TextClassifier."""

    def __init__(self, config: SftF1Config, start: StartingModel) -> None:
        self._config, self._start = config, start

    def train(self, data: TrainingData, params: Mapping[str, Any], context: TrainContext) -> None:
        """Cross-entropy of the answer's tokens, each text weighing as its class does."""
        be_quiet()
        from datasets import Dataset
        from trl import SFTConfig

        rank = params["lora_rank"]
        tokenizer = self._start.chat_tokenizer(context.cache)
        prompt = self._prompt(tokenizer, data)
        dtype = weights_dtype(self._config.dtype, training_all=not rank)
        weight = data.positive_weight(params, self._config.balanced)
        examples = [
            prompt.example(text, label, params["max_length"], weight if label else 1.0) for text, label in data.rows
        ]
        trainer = _trainer_class()(
            label_smoothing=params["label_smoothing"],
            model=self._start.causal(context.cache, dtype),
            args=SFTConfig(
                **training.arguments(self._config, len(examples), params, context),
                max_length=None,  # texts are cut before, prompts never
                dataset_kwargs={"skip_prepare_dataset": True},
                remove_unused_columns=False,
            ),
            train_dataset=Dataset.from_list([vars(example) for example in examples]),
            processing_class=tokenizer,
            data_collator=lambda rows: batch_of([Example(**row) for row in rows], tokenizer.pad_token_id),
            peft_config=self._config.lora.adapter(rank) if rank else None,
            callbacks=[reporter(context, training.steps(len(examples), params), training.LOGGED)],
        )
        run_and_save(trainer, tokenizer, context)
        note = {"instruction": prompt.instruction, "words": prompt.words, "max_length": params["max_length"]}
        (context.checkpoint_dir / TRAINED_WITH).write_text(json.dumps(note), encoding="utf-8")

    def scorer(self, data: TrainingData, checkpoint: Path | None, cache: Path) -> Scorer:
        """How likely the positive word is, of the two: both are scored with the end token after them."""
        be_quiet()
        import torch

        tokenizer = self._start.chat_tokenizer(cache)
        prompt, length = self._prompt(tokenizer, data), self._config.recipe.max_length
        dtype = weights_dtype(self._config.dtype, training_all=False)
        if checkpoint is None:
            model = self._start.causal(cache, dtype)
        else:
            length = _trained_length(checkpoint)
            model = self._start.trained_causal(checkpoint, cache, dtype)
        model = on_device(model).eval()

        def shares(texts: list[str]) -> list[float]:
            both = [prompt.example(text, label, length) for text in texts for label in (0, 1)]
            batch = {name: value.to(model.device) for name, value in batch_of(both, tokenizer.pad_token_id).items()}
            with torch.inference_mode():
                likely = -answer_losses(model, batch).double().sum(dim=1).reshape(-1, 2)
            found: list[float] = torch.softmax(likely, dim=1)[:, 1].tolist()
            return found

        def score(texts: Sequence[str], context: EvaluateContext) -> list[float]:
            return in_batches(texts, self._config.eval_batch_size, context, shares)

        return score

    def token_counts(self, texts: Sequence[str], cache: Path) -> list[int]:
        """Of the texts alone, as max_length counts them."""
        coded = self._start.chat_tokenizer(cache)(list(texts), add_special_tokens=False, verbose=False)
        return [len(ids) for ids in coded["input_ids"]]

    def memory_gb(self, data: TrainingData, tokens: int, params: Mapping[str, Any], cache: Path) -> float:
        """Of adapters or all weights; only the answers' logits are computed."""
        rank, batch = params["lora_rank"], params["batch_size"]
        prompt = self._prompt(self._start.chat_tokenizer(cache), data)
        model = self._start.causal(cache, weights_dtype(self._config.dtype, training_all=not rank))
        shape, weights = model.config, sum(weight.numel() for weight in model.parameters())
        return training_memory_gb(
            shape,
            weights,
            adapter_weights(rank, shape) if rank else weights,
            next(model.parameters()).element_size(),
            batch * (min(tokens, params["max_length"]) + prompt.tokens),
            batch * (prompt.answer_tokens + 1) * shape.vocab_size,
            gradient_checkpointing=self._config.gradient_checkpointing,
        )

    def _prompt(self, tokenizer: Any, data: TrainingData) -> Prompt:
        return Prompt(tokenizer, self._config.instruction, words(self._config, data.negative, data.positive))


def words(config: SftF1Config, negative: str, positive: str) -> tuple[str, str]:
    """The words for the two labels. Raises SetupError if they cannot be told apart or a label is unknown."""
    for label in config.label_words:
        if label not in (negative, positive):
            raise SetupError(f"task.label_words: no text is labelled {label!r}; the labels are {negative}, {positive}")
    found = (config.label_words.get(negative, negative), config.label_words.get(positive, positive))
    if found[0].strip() == found[1].strip() or not all(word.strip() for word in found):
        raise SetupError(f"task.label_words: the labels need two different words, not {found[0]!r} and {found[1]!r}")
    return found


def _trained_length(checkpoint: Path) -> int:
    try:
        length = int(json.loads((checkpoint / TRAINED_WITH).read_text(encoding="utf-8"))["max_length"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{checkpoint} holds no whole classifier: {error}") from error
    if not 1 <= length <= 2**20:
        raise RuntimeError(f"{checkpoint} holds no whole classifier: max_length {length}")
    return length


def _trainer_class() -> Any:
    from trl import SFTTrainer

    class WeightedSFTTrainer(SFTTrainer):
        """TRL's trainer with each text's loss weighed by its class, as cross-entropy weighs classes."""

        def __init__(self, label_smoothing: float, **options: Any) -> None:
            super().__init__(**options)
            self._label_smoothing = label_smoothing

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            losses = answer_losses(model, inputs, self._label_smoothing)
            each = losses.sum(dim=1) / (inputs["labels"] != IGNORED).sum(dim=1)
            loss = (each * inputs["weights"]).sum() / inputs["weights"].sum()
            return (loss, None) if return_outputs else loss

    return WeightedSFTTrainer
