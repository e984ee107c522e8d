"""A trainer's logs: quiet in the trial's output, streamed to the training context as progress."""

import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import TrainContext
from overnight_huggingface import partial


def be_quiet() -> None:
    """Keep progress bars, load reports and notices of experimental features out of the trial's log."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in ("transformers", "trl"):
        logging.getLogger(name).setLevel(logging.ERROR)


def reporter(context: TrainContext, total: int, names: Mapping[str, str]) -> Any:
    """A trainer's callback that reports its logs and ends training early when the context says so.

    total: optimiser steps. names: key of the trainer's logs → name shown to people; others are not
    reported, but for TRL's `rewards/NAME/mean`, which become reward_NAME.
    """
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            context.report(0, total)  # everything is loaded: what follows is the first step

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
        ) -> None:
            values = {names[key]: float(value) for key, value in (logs or {}).items() if key in names}
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
            if state.global_step < total and context.partial_due():
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            partial.keep(Path(args.output_dir) / f"checkpoint-{state.global_step}", context)

    return Reporter()


def run_and_save(trainer: Any, tokenizer: Any, context: TrainContext) -> None:
    """Train without the trainer's own printing, and save model (or adapter) and tokenizer as the checkpoint."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=partial.to_go_on_from(context))
    trainer.model.save_pretrained(context.checkpoint_dir)
    tokenizer.save_pretrained(context.checkpoint_dir)
