"""Splits: train, validation and test cut from one pool, class by class, with no text in two of them."""

import hashlib
import json
import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import SetupError
from overnight_huggingface.data import is_local, remembered
from overnight_task_sft.f1.config import SftF1Config
from overnight_task_sft.f1.source import Labelled, local_file, read

_FEWEST = 2  # positives, and negatives, that a split needs for F1 to say anything


@dataclass(frozen=True)
class Splits:
    """The three splits; `positive` and `negative` are the labels' names. repeated: texts left out
    because they stand in the data before. contradicted: texts left out because they carry both labels."""

    train: tuple[Labelled, ...]
    validation: tuple[Labelled, ...]
    test: tuple[Labelled, ...]
    positive: str
    negative: str
    repeated: int = 0
    contradicted: int = 0


def split(config: SftF1Config) -> Splits:
    """Read the data and cut it, always in the same way.

    Which texts are held out depends on a hash of the text alone. Raises SetupError for data that
    is not about two classes, or has too few texts of one.
    """
    pool = read(config)
    labels: dict[str, set[str]] = {}
    for item in pool:
        labels.setdefault(normal(item.text), set()).add(item.label)
    first = {normal(item.text): item for item in reversed(pool) if len(labels[normal(item.text)]) == 1}
    contradicted = sum(len(found) > 1 for found in labels.values())
    positive, negative = _classes(config, pool)
    parts: tuple[list[Labelled], list[Labelled], list[Labelled]] = ([], [], [])
    for label in (negative, positive):
        texts = sorted(text for text, item in first.items() if item.label == label)
        texts.sort(key=lambda text: hashlib.sha256(text.encode()).digest())
        ends = [0]
        for share in (config.validation_share, config.test_share):
            ends.append(ends[-1] + math.floor(share * len(texts)))
        held, tested = texts[: ends[1]], texts[ends[1] : ends[2]]
        for part, chosen in zip(parts, (texts[ends[2] :], held, tested), strict=True):
            if len(chosen) < _FEWEST:
                raise SetupError(
                    f"task.data: {config.data} has {len(texts)} different texts labelled {label!r}, too few for "
                    f"{_FEWEST} in each of train, validation and test: give more data, another task.positive_label, "
                    f"or other task.validation_share and task.test_share"
                )
            part.extend(first[text] for text in chosen)
    train, validation, test = (tuple(sorted(part, key=lambda item: normal(item.text))) for part in parts)
    return Splits(train, validation, test, positive, negative, len(pool) - len(labels), contradicted)


def normal(text: str) -> str:
    """Lower case, white space folded: what makes two texts the same one."""
    return re.sub(r"\s+", " ", text.casefold()).strip()


def item_id(text: str) -> str:
    """The name of a text in every evaluation."""
    return hashlib.sha256(normal(text).encode()).hexdigest()[:16]


def rows_file(config: SftF1Config, cache: Path) -> Path:
    """Where the training texts of this data stand, once they are made."""
    key = remembered(cache / "sft_f1", config.data, lambda: _key(config))
    return cache / "sft_f1" / "data" / f"{key}.json"


def make_rows(config: SftF1Config, path: Path) -> None:
    """Write the training texts, and nothing of the others."""
    cut = split(config)
    rows = [[item.text, int(item.label == cut.positive)] for item in cut.train]
    _write(path, {"positive": cut.positive, "negative": cut.negative, "rows": rows})


def held_out(config: SftF1Config, part: str, sealed: Path) -> list[tuple[str, int]]:
    """Text and 0 or 1 of `validation` or `test`; cut on first use, kept in the evaluators' own folder."""
    path = sealed / "sft_f1" / _key(config) / f"{part}.json"
    if not path.exists():
        cut = split(config)
        for name, items in (("validation", cut.validation), ("test", cut.test)):
            _write(path.with_name(f"{name}.json"), [[item.text, int(item.label == cut.positive)] for item in items])
    return [(text, label) for text, label in json.loads(path.read_text(encoding="utf-8"))]


def _classes(config: SftF1Config, pool: list[Labelled]) -> tuple[str, str]:
    counts = Counter(item.label for item in pool)
    shown = ", ".join(f"{label[:30]!r} ({count})" for label, count in counts.most_common(6))
    if config.positive_label is not None and config.positive_label not in counts:
        raise SetupError(
            f"task.positive_label: no text is labelled {config.positive_label!r}, so that F1 would have no positives; "
            f"the labels are {shown}"
        )
    if len(counts) != 2:
        raise SetupError(
            f"task.label_column: column {config.label_column!r} holds {len(counts)} different labels, F1 is about two: "
            f"{shown}"
        )
    positive = config.positive_label or min(counts, key=lambda label: (counts[label], label))
    return positive, next(label for label in counts if label != positive)


def _key(config: SftF1Config) -> str:
    keys = ("data", "data_name", "columns", "text_column", "label_column", "positive_label", "validation_share")
    found: dict[str, Any] = {key: getattr(config, key) for key in (*keys, "test_share")}
    if is_local(config.data):
        found["data"] = hashlib.sha256(local_file(config.data).read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".partial-{os.getpid()}")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)
