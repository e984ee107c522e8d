"""Prompts: problems as chat messages, and the training rows that trials share."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core import SetupError
from overnight_huggingface.data import is_local, remembered
from overnight_huggingface.models import rendered as chats_as_text
from overnight_task_grpo.gsm8k.config import Gsm8kConfig
from overnight_task_grpo.gsm8k.source import GYM, Problem, local_file
from overnight_task_grpo.gsm8k.splits import split

_DATA_KEYS = (
    "data", "data_name", "data_options", "question_column", "answer_column", "train_items", "validation_items",
    "test_items", "contamination_ngram",
)  # fmt: skip


def messages(config: Gsm8kConfig, question: str) -> list[dict[str, str]]:
    """The chat that asks a question."""
    system = [{"role": "system", "content": config.system_prompt}] if config.system_prompt else []
    return [*system, {"role": "user", "content": config.prompt_template.replace("{question}", question)}]


def rendered(tokenizer: Any, chats: Sequence[list[dict[str, str]]]) -> list[str]:
    """Chats as the text that the model continues. Raises SetupError if the template refuses them."""
    return chats_as_text(tokenizer, chats, "set task.system_prompt='' and ask in task.prompt_template")


def data_key(config: Gsm8kConfig) -> str:
    """Names the data by its content (local files) or by where it comes from."""
    found: dict[str, Any] = {key: getattr(config, key) for key in _DATA_KEYS}
    if not config.data.startswith(GYM) and is_local(config.data):
        parts: tuple[Any, ...] = ("train", "test")
        found["data"] = [hashlib.sha256(local_file(config.data, part).read_bytes()).hexdigest() for part in parts]
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def rows_file(config: Gsm8kConfig, tokenizer_source: str, cache: Path) -> Path:
    """Where the training rows of this data, prompt and tokenizer stand, once they are made."""
    key = data_key(config) if config.data.startswith(GYM) else _remembered_key(config, cache)
    asked = [key, tokenizer_source, config.revision, config.chat_template, config.system_prompt]
    shape = json.dumps([*asked, config.prompt_template, config.max_prompt_length])
    return cache / "grpo_gsm8k" / "data" / f"{hashlib.sha256(shape.encode()).hexdigest()[:16]}.json"


def _remembered_key(config: Gsm8kConfig, cache: Path) -> str:
    return remembered(cache / "grpo_gsm8k", config.data, lambda: data_key(config))


def make_rows(config: Gsm8kConfig, tokenizer: Any, path: Path) -> None:
    """Write the training rows: chats with their answers, prompts that are too long left out."""
    cut = split(config)
    chats = [messages(config, problem.question) for problem in cut.train]
    lengths = [len(ids) for ids in tokenizer(rendered(tokenizer, chats), add_special_tokens=False)["input_ids"]]
    rows = [
        {"prompt": chat, "answer": problem.answer}
        for chat, problem, length in zip(chats, cut.train, lengths, strict=True)
        if length <= config.max_prompt_length
    ]
    if not rows:
        raise SetupError(
            f"task.max_prompt_length: all {len(chats)} training prompts are longer than {config.max_prompt_length} "
            f"tokens (the shortest has {min(lengths)}); raise it"
        )
    facts = {
        "problems": len(cut.train),
        "overlapping": cut.dropped,
        "repeated": cut.repeated,
        "too_long": len(chats) - len(rows),
        "longest": max(length for length in lengths if length <= config.max_prompt_length),
    }
    _write(path, {"facts": facts, "rows": rows})


def held_out(config: Gsm8kConfig, part: str, sealed: Path) -> list[Problem]:
    """The problems of `validation` or `test`; cut on first use, kept in the evaluators' own folder."""
    path = sealed / "grpo_gsm8k" / data_key(config) / f"{part}.json"
    if not path.exists():
        cut = split(config)
        for name, problems in (("validation", cut.validation), ("test", cut.test)):
            _write(path.with_name(f"{name}.json"), [[problem.question, problem.answer] for problem in problems])
    return [Problem(*pair) for pair in json.loads(path.read_text(encoding="utf-8"))]


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".partial-{os.getpid()}")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)
