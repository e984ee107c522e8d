"""Hand-made checkpoints, whole as far as files go, and studies whose incumbent has one."""

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.journal.facts import StudyFacts
from core.study.layout import Layout
from factories import facts, trial


def safetensors(path: Path, seed: int = 0) -> None:
    """One tensor of 64 numbers (safetensors' README, "Format")."""
    data = struct.pack("<64f", *(float(seed + i) for i in range(64)))
    header = json.dumps({"weight": {"dtype": "F32", "shape": [64], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def save_model(folder: Path, seed: int = 0, **config: Any) -> Path:
    """A whole model with a tokenizer's settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], **config}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 64}))
    safetensors(folder / "model.safetensors", seed)
    return folder


def save_adapter(folder: Path, base: str) -> Path:
    """A peft adapter of the base model with this name."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"task_type": "CAUSAL_LM", "base_model_name_or_path": base, "revision": "abc", "r": 4}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    safetensors(folder / "adapter_model.safetensors")
    return folder


def study(directory: Path, *, incumbent: int = 1, task: Mapping[str, Any] | None = None, **more: Any) -> StudyFacts:
    """A study of two trials besides the starting model; `task`: its node of the configuration."""
    found = facts(
        directory, trial(0, 80), trial(1, 220, "keep"), trial(2, 90), incumbent=incumbent, **more,
    )  # fmt: skip
    return replace(found, study=replace(found.study, config={"task": dict(task or {})}))


def checkpoint(directory: Path, number: int = 1) -> Path:
    """Where a trial's checkpoint belongs."""
    return Layout(directory).checkpoint(number)
