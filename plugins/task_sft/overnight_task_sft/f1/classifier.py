"""One training run of a classifier with transformers' Trainer, and its probabilities."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import EvaluateContext, TrainContext

_NAMES = {"loss": "loss", "grad_norm": "grad_norm", "learning_rate": "learning_rate"}


def train(
    model: Any,
    tokenizer: Any,
    rows: Sequence[tuple[str, int]],
    weights: tuple[float, float],
    params: Mapping[str, Any],
    dtype: str,
    context: TrainContext,
) -> None:
    """Train in place and save model and tokenizer in `context.checkpoint_dir`.

    rows: text and the model's class index. weights: of class 0 and class 1 in the loss.
    """
    be_quiet()
    import torch
    from datasets import Dataset
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    tokenizer.model_max_length = params["max_length"]  # saved with it: evaluation cuts texts where training did
    coded = tokenizer([text for text, _ in rows], truncation=True, max_length=params["max_length"])
    data = Dataset.from_dict({**coded, "labels": [label for _, label in rows]})
    steps = -(-len(rows) // params["batch_size"]) * params["epochs"]
    arguments = TrainingArguments(
        output_dir=str(Path(context.checkpoint_dir).with_name("trainer")),
        learning_rate=params["learning_rate"],
        num_train_epochs=params["epochs"],
        per_device_train_batch_size=params["batch_size"],
        weight_decay=params["weight_decay"],
        warmup_steps=round(steps * params["warmup_share"]),
        lr_scheduler_type="linear",
        train_sampling_strategy="group_by_length",
        seed=context.seed,
        data_seed=context.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,  # the guard must see what is not finite
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **_device_settings(dtype),
    )

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        scale = torch.tensor(weights, device=outputs.logits.device)
        smoothing = params["label_smoothing"]
        return torch.nn.functional.cross_entropy(
            outputs.logits.float(), labels, weight=scale, label_smoothing=smoothing
        )

    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=data,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_loss_func=loss,
        callbacks=[_reporter(context, steps)],
    )
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.model.save_pretrained(context.checkpoint_dir)
    tokenizer.save_pretrained(context.checkpoint_dir)


def probabilities(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    index: int,
    max_length: int,
    batch_size: int,
    context: EvaluateContext,
) -> list[float]:
    """The probability of class `index` for each text. Raises InterruptedError when the context says stop."""
    import torch

    model = (model.to("cuda") if torch.cuda.is_available() else model).eval()
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
    found = [0.0] * len(texts)
    for start in range(0, len(order), batch_size):
        if context.should_stop():
            raise InterruptedError(f"stopped after {start} of {len(order)} texts")
        chosen = order[start : start + batch_size]
        batch = tokenizer(
            [texts[i] for i in chosen], return_tensors="pt", padding=True, truncation=True, max_length=max_length
        ).to(model.device)
        with torch.inference_mode():
            shares = torch.softmax(model(**batch).logits.double(), dim=-1)[:, index]
        for i, share in zip(chosen, shares.tolist(), strict=True):
            found[i] = share
        context.report(start + len(chosen), len(texts))
    return found


def _device_settings(dtype: str) -> dict[str, Any]:
    import torch

    if torch.cuda.is_available():
        return {"bf16": dtype == "bfloat16" or (dtype == "auto" and torch.cuda.is_bf16_supported())}
    return {"use_cpu": True, "bf16": dtype == "bfloat16", "dataloader_pin_memory": False}


def _reporter(context: TrainContext, total: int) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        """Streams the trainer's logs to the context and ends training early when it says so."""

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
        ) -> None:
            values = {_NAMES[key]: float(value) for key, value in (logs or {}).items() if key in _NAMES}
            if values:
                context.report(state.global_step, total, **values)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if context.should_stop():
                control.should_training_stop = True

    return Reporter()


def be_quiet() -> None:
    """Keep progress bars and load reports out of the trial's log."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
