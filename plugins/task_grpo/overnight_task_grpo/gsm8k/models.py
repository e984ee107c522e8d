"""The starting model and checkpoints: where they are, whether they can work, and how they are loaded."""

from pathlib import Path
from typing import Any

from core import SetupError
from overnight_task_grpo.gsm8k import presets
from overnight_task_grpo.gsm8k.config import Gsm8kConfig
from overnight_task_grpo.gsm8k.hub import check_on_hub

_ADAPTER = "adapter_config.json"


def check_model(config: Gsm8kConfig) -> None:
    """Without loading anything: is the model there? Raises SetupError that names the setting."""
    if config.chat_template is not None and not Path(config.chat_template).expanduser().is_file():
        raise SetupError(f"task.chat_template: there is no file {config.chat_template}")
    if config.model_preset is not None:
        presets.find(config.model_preset)
        return
    folder = Path(config.model).expanduser()
    if not folder.exists() and config.model.count("/") == 1 and not config.model.startswith((".", "/", "~")):
        check_on_hub("model", config.model, config.revision, "task.model")
    elif not folder.is_dir():
        raise SetupError(
            f"task.model: there is no folder {folder}; give one, or a hub name like Qwen/Qwen2.5-0.5B-Instruct"
        )
    elif not (folder / "config.json").is_file():
        raise SetupError(f"task.model: {folder} is no transformers model folder: it has no config.json")


def prepare_model(config: Gsm8kConfig, cache: Path) -> None:
    """Convert or download the model, once per machine."""
    if config.model_preset is not None:
        presets.convert(config.model_preset, cache)
    elif not Path(config.model).expanduser().is_dir():
        from huggingface_hub import snapshot_download

        try:
            snapshot_download(config.model, revision=config.revision, ignore_patterns=["*.pth", "*.gguf", "original/*"])
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise SetupError(
                f"task.model: {config.model} cannot be downloaded: {type(error).__name__}: {text}"
            ) from error


def base_folder(config: Gsm8kConfig, cache: Path) -> str:
    """What from_pretrained is given for the starting model: a folder or a hub name."""
    if config.model_preset is not None:
        return str(presets.folder(config.model_preset, cache))
    folder = Path(config.model).expanduser()
    return str(folder) if folder.is_dir() else config.model


def load_tokenizer(config: Gsm8kConfig, cache: Path) -> Any:
    """The tokenizer, padding on the left, with a chat template. Raises SetupError without one."""
    from transformers import AutoTokenizer

    source = base_folder(config, cache)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=config.revision, padding_side="left")
    except Exception as error:
        raise SetupError(f"task.model: the tokenizer of {source} cannot be loaded: {_said(error)}") from error
    if config.chat_template is not None:
        tokenizer.chat_template = Path(config.chat_template).expanduser().read_text(encoding="utf-8")
    if tokenizer.chat_template is None:
        raise SetupError(
            f"task.model: {source} has no chat template; choose its instruct variant, or give one with "
            f"task.chat_template=FILE.jinja"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(config: Gsm8kConfig, cache: Path, dtype: Any) -> Any:
    """The starting model. Raises SetupError if it cannot be loaded."""
    from transformers import AutoModelForCausalLM

    source = base_folder(config, cache)
    try:
        return AutoModelForCausalLM.from_pretrained(source, revision=config.revision, dtype=dtype)
    except Exception as error:
        raise SetupError(f"task.model: {source} cannot be loaded: {_said(error)}") from error


def load_checkpoint(config: Gsm8kConfig, checkpoint: Path, cache: Path, dtype: Any) -> Any:
    """A trained model: a whole one, or an adapter merged into the starting model."""
    if (checkpoint / _ADAPTER).is_file():
        from peft import PeftModel

        return PeftModel.from_pretrained(load_base(config, cache, dtype), checkpoint).merge_and_unload()
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype)
    except (OSError, ValueError, RuntimeError) as error:
        raise RuntimeError(f"{checkpoint} holds no whole model: {error}") from error


def weights_dtype(config: Gsm8kConfig, *, training_all: bool) -> Any:
    """float32 on CPUs and where all weights are trained (computing in bfloat16 on GPUs), else bfloat16."""
    import torch

    if config.dtype != "auto":
        return getattr(torch, config.dtype)
    if torch.cuda.is_available() and torch.cuda.is_bf16_supported() and not training_all:
        return torch.bfloat16
    return torch.float32


def _said(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{type(error).__name__}: {lines[0][:300]}"
