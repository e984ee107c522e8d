"""A checkpoint folder as libraries see it: what loads it, whether it is whole, which files belong to it."""

import json
import struct
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

CONFIG, ADAPTER = "config.json", "adapter_config.json"
_INDEX = ".index.json"
# What trainers leave beside a model (transformers' Trainer, accelerate, DeepSpeed, trackers).
_LEFTOVERS = (
    "optimizer*", "scheduler*", "scaler.pt", "training_args.bin", "trainer_state.json", "rng_state*", "random_states*",
    "checkpoint-*", "global_step*", "zero_to_fp32.py", "latest", "runs", "wandb*", "logs", "__pycache__", "*.log",
    "*.lock", "*.tmp", "*.partial*", "events.out.tfevents*",
)  # fmt: skip
_PEFT_CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
}
_HEADS = {
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForQuestionAnswering": "AutoModelForQuestionAnswering",
    "ForMaskedLM": "AutoModelForMaskedLM",
}
_PIPELINES = {
    "AutoModelForCausalLM": "text-generation",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
    "AutoModelForQuestionAnswering": "question-answering",
    "AutoModelForMaskedLM": "fill-mask",
}


@dataclass(frozen=True)
class Checkpoint:
    """What stands in a checkpoint folder.

    kind: "model" (config.json), "adapter" (adapter_config.json) or "other". loader: the
    transformers class that loads it, or its base model. base: what an adapter says it belongs to.
    has_tokenizer: whether a tokenizer was saved with it. files: what belongs to the model,
    relative, sorted. left_out: what does not, e.g. an optimiser's state.
    problem: why it cannot be loaded, or None.
    """

    folder: Path
    kind: Literal["model", "adapter", "other"]
    loader: str = "AutoModel"
    base: str | None = None
    has_tokenizer: bool = False
    files: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def library(self) -> str | None:
        """The hub's name of the library that loads it."""
        return {"model": "transformers", "adapter": "peft"}.get(self.kind)

    @property
    def pipeline_tag(self) -> str | None:
        """The hub's word for what the model does, as far as its class tells."""
        return _PIPELINES.get(self.loader)


def inspect(folder: Path) -> Checkpoint:
    """Look at a checkpoint: reads its JSON files and the headers of its weights, not the weights."""
    if not folder.is_dir():
        return Checkpoint(folder, "other", problem="it is not there")
    files, left_out = _files(folder)
    kind: Literal["model", "adapter", "other"] = (
        "adapter" if ADAPTER in files else "model" if CONFIG in files else "other"
    )
    loader, base, problem = "AutoModel", None, None
    try:
        if kind == "adapter":
            settings = read_object(folder / ADAPTER)
            loader = _PEFT_CLASSES.get(str(settings.get("task_type")), "AutoModel")
            base = settings.get("base_model_name_or_path")
        elif kind == "model":
            loader = _loader(read_object(folder / CONFIG))
        else:
            problem = f"it holds neither {CONFIG} nor {ADAPTER}: no transformers or peft model"
        problem = problem or _weights_problem(folder, files, kind)
    except (OSError, ValueError) as error:
        problem = str(error)
    tokenizer = any(name in files for name in ("tokenizer.json", "tokenizer_config.json"))
    return Checkpoint(folder, kind, loader, base, tokenizer, files, left_out, problem)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ValueError that names the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is corrupt: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is corrupt: it holds no JSON object")
    return found


def _loader(config: dict[str, Any]) -> str:
    for name in config.get("architectures") or []:
        for ending, loader in _HEADS.items():
            if str(name).endswith(ending):
                return loader
    return "AutoModel"


def _files(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What belongs to the model and what does not. Links are left out: what training wrote must
    not lead to other files of this machine."""
    kept, left = [], []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.is_symlink() or any(fnmatch(entry.name, p) for p in _LEFTOVERS):
            left.append(entry.name)
        elif entry.is_dir():
            inner, inner_left = _files(entry)
            kept += [f"{entry.name}/{name}" for name in inner]
            left += [f"{entry.name}/{name}" for name in inner_left]
        elif entry.is_file():
            kept.append(entry.name)
        else:
            left.append(entry.name)
    return tuple(kept), tuple(left)


def _weights_problem(folder: Path, files: tuple[str, ...], kind: str) -> str | None:
    weights = [name for name in files if name.endswith((".safetensors", ".bin")) and "/" not in name]
    stem = "adapter_model" if kind == "adapter" else ""
    if not any(name.startswith(stem) for name in weights):
        return "its weights are missing (no .safetensors file)"
    for index in (name for name in files if name.endswith(_INDEX)):
        named = read_object(folder / index).get("weight_map")
        wanted = {str(name) for name in named.values()} if isinstance(named, dict) else set()
        if missing := sorted(wanted - set(files)):
            return f"{index} names {missing[0]}, which is missing"
    for name in weights:
        if problem := _file_problem(folder / name):
            return f"{name} is corrupt: {problem}"
    return None


def _file_problem(path: Path) -> str | None:
    """Whether a weights file is whole. Format: 8 bytes length, JSON header with data_offsets, data
    (safetensors' README, "Format"); a .bin is a zip archive or an old pickle."""
    size = path.stat().st_size
    if path.suffix == ".bin":
        return None if size else "it is empty"
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(size - 8, 100_000_000):
            return f"its header cannot be read ({size:,} bytes)"
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, AttributeError, TypeError, LookupError):
            return "its header cannot be read"
    wanted = 8 + length + max(ends, default=0)
    return None if size == wanted else f"it has {size:,} bytes where its header says {wanted:,}"
