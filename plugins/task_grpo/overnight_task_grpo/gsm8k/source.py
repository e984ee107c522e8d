"""Where the problems come from: the hub, a local folder, or reasoning-gym's generators."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core import SetupError
from overnight_huggingface.data import is_local, need_columns
from overnight_task_grpo.gsm8k.config import Gsm8kConfig

Part = Literal["train", "test"]
GYM = "reasoning_gym:"
_GYM_TRAIN = 4000  # problems drawn for the train file of a generator, which has no end of its own
_GYM_TEST = 1000
_GYM_SEEDS = {"train": 1, "test": 2}


@dataclass(frozen=True)
class Problem:
    """A question and its right answer, a number or a short text."""

    question: str
    answer: str


def read(config: Gsm8kConfig, part: Part) -> list[Problem]:
    """The problems of the train or the test file. Raises SetupError that names the setting to change."""
    if config.data.startswith(GYM):
        return _generate(config, part)
    if is_local(config.data):
        return list(_problems(_rows_of_file(local_file(config.data, part)), config, f"{config.data}/{part}.jsonl"))
    return list(_problems(_rows_of_hub(config, part), config, f"{config.data}, split {part}"))


def local_file(data: str, part: Part) -> Path:
    """The JSON-lines file of a part. Raises SetupError if it is not there."""
    folder = Path(data).expanduser()
    path = folder / f"{part}.jsonl"
    if not path.is_file():
        there = ", ".join(sorted(item.name for item in folder.glob("*"))) if folder.is_dir() else ""
        raise SetupError(
            f"task.data: {folder} has no {path.name}"
            + (f" (it has {there[:200]})" if there else ", the folder does not exist")
            + "; give a folder with train.jsonl and test.jsonl, or a hub dataset such as openai/gsm8k"
        )
    return path


def final_answer(text: str) -> str:
    """What GSM8K writes after `####`; a text without it is the answer itself."""
    return (text.rpartition("####")[2] if "####" in text else text).strip()


def columns_of(config: Gsm8kConfig) -> dict[str, str]:
    """Setting → the column that it names."""
    return {f"task.{name}": getattr(config, name) for name in ("question_column", "answer_column")}


def _problems(rows: Iterable[Mapping[str, Any]], config: Gsm8kConfig, where: str) -> Iterable[Problem]:
    count, asked = 0, columns_of(config)
    for count, row in enumerate(rows, 1):
        need_columns(row, asked, f"{where}, row {count},")
        question, answer = str(row[config.question_column]).strip(), final_answer(str(row[config.answer_column]))
        if not question or not answer:
            raise SetupError(f"task.data: {where}, row {count}: the question or the answer is empty")
        yield Problem(question, answer)
    if not count:
        raise SetupError(f"task.data: {where} is empty")


def _rows_of_file(path: Path) -> Iterable[Mapping[str, Any]]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:  # no JSON, or no UTF-8
            raise SetupError(f"task.data: {path} is corrupt in line {number}: {error}") from None
        if not isinstance(row, dict):
            shown = line[:40].decode(errors="replace")
            raise SetupError(f"task.data: {path}, line {number}: a JSON object is needed, not {shown!r}")
        yield row


def _rows_of_hub(config: Gsm8kConfig, part: Part) -> Iterable[Mapping[str, Any]]:
    from datasets import load_dataset

    try:
        return load_dataset(config.data, config.data_name, split=part)
    except Exception as error:
        raise SetupError(
            f"task.data: {config.data} (data_name {config.data_name}, split {part}) cannot be loaded from the hub: "
            f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}. Without network give a folder with "
            f"train.jsonl and test.jsonl: task.data=DIR"
        ) from error


def _generate(config: Gsm8kConfig, part: Part) -> list[Problem]:
    name = config.data.removeprefix(GYM)
    size = _GYM_TRAIN if part == "train" else max(_GYM_TEST, 2 * (config.test_items or 0))
    try:
        import reasoning_gym
    except ImportError:
        raise SetupError("task.data: reasoning-gym is not installed; pip install reasoning-gym") from None
    try:
        made = reasoning_gym.create_dataset(name, seed=_GYM_SEEDS[part], size=size, **(config.data_options or {}))
    except (ValueError, TypeError, AssertionError) as error:
        raise SetupError(f"task.data: reasoning-gym cannot make {name!r} with {config.data_options}: {error}") from None
    return [Problem(str(row["question"]).strip(), str(row["answer"]).strip()) for row in made]
