"""Where the labelled texts come from: the hub or a local file."""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import SetupError
from overnight_huggingface.data import is_local, need_columns
from overnight_task_sft.f1.config import SftF1Config

_ENDINGS = (".json", ".jsonl", ".tsv", ".csv")


@dataclass(frozen=True)
class Labelled:
    """A text and its class."""

    text: str
    label: str


def read(config: SftF1Config) -> list[Labelled]:
    """All labelled texts, whatever parts they come in. Raises SetupError that names the setting to change."""
    if is_local(config.data):
        path = local_file(config.data)
        return list(_labelled(_rows_of_file(path, config), config, str(path)))
    return list(_labelled(_rows_of_hub(config), config, config.data))


def local_file(data: str) -> Path:
    """The data file that was given, or the only one in the folder. Raises SetupError if there is none."""
    path = Path(data).expanduser()
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if item.suffix in _ENDINGS)
        if len(found) != 1:
            there = ", ".join(item.name for item in found) or f"no {' or '.join(_ENDINGS)} file"
            raise SetupError(f"task.data: {path} has {there}; name one file")
        return found[0]
    if not path.is_file():
        raise SetupError(f"task.data: there is no file {path}; give one, or a hub dataset such as owner/name")
    if path.suffix not in _ENDINGS:
        raise SetupError(f"task.data: {path} ends in none of {', '.join(_ENDINGS)}")
    return path


def columns_of(config: SftF1Config) -> dict[str, str]:
    """Setting → the column that it names."""
    return {f"task.{name}": getattr(config, name) for name in ("text_column", "label_column")}


def _labelled(rows: Iterable[Mapping[str, Any]], config: SftF1Config, where: str) -> Iterable[Labelled]:
    count, asked = 0, columns_of(config)
    for count, row in enumerate(rows, 1):
        need_columns(row, asked, f"{where}, row {count},", " (a table without a header needs task.columns)")
        text, label = row[config.text_column], row[config.label_column]
        if text is None or label is None or not str(text).strip() or not str(label).strip():
            raise SetupError(f"task.data: {where}, row {count}: the text or the label is empty")
        yield Labelled(str(text).strip(), str(label).strip())
    if not count:
        raise SetupError(f"task.data: {where} is empty")


def _rows_of_file(path: Path, config: SftF1Config) -> Iterable[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            rows = json.loads(text)
        elif path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            return _table(text, path.suffix, config)
    except (OSError, ValueError) as error:  # unreadable, no UTF-8, no JSON
        raise SetupError(f"task.data: {path} is corrupt or cannot be read: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SetupError(f"task.data: {path} must hold a list of objects with a text and a label")
    return rows


def _table(text: str, ending: str, config: SftF1Config) -> Iterable[Mapping[str, Any]]:
    lines = text.splitlines()
    names = list(config.columns) if config.columns else None
    if ending == ".tsv":  # its texts may hold quotes that are only quotes
        return csv.DictReader(lines, fieldnames=names, delimiter="\t", quoting=csv.QUOTE_NONE)
    return csv.DictReader(lines, fieldnames=names)


def _rows_of_hub(config: SftF1Config) -> Iterable[Mapping[str, Any]]:
    from datasets import load_dataset

    try:
        parts = load_dataset(config.data, config.data_name)
        return [row for part in sorted(parts) for row in parts[part]]
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise SetupError(
            f"task.data: {config.data} (data_name {config.data_name}) cannot be loaded from the hub: "
            f"{type(error).__name__}: {said}. Without network give a file: task.data=FILE"
        ) from error
