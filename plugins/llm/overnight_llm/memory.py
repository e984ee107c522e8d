"""A study's memory as files: its lessons, what its person says, and what an earlier study left it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import InvalidParams, Objective, Scalar, SetupError, Space, StudyView, recorded_study
from overnight_llm.answers import plain
from overnight_llm.lessons import lessons

LESSONS, STEERING, EARLIER = "lessons.md", "steering.md", "memory.json"
_BEGIN, _END = "<!-- written by Overnight: begin -->", "<!-- written by Overnight: end -->"
_HEAD = "# Lessons\n\nWrite what you know here, outside the marked part: it is read before each proposal.\n\n"
_DATA, _MODEL = "## From the data", "## From the model (opinions)"
_MOST_TEXT = 6000  # characters of a file that go into a prompt
_MOST_OPINIONS = 8


@dataclass(frozen=True)
class Remembered:
    """What is read before a proposal. All texts are bounded.

    steering: what the person wrote in steering.md. notes: what the person wrote into lessons.md.
    data: lessons computed from the trials. opinions: what the model concluded before.
    """

    steering: str = ""
    notes: str = ""
    data: tuple[str, ...] = ()
    opinions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """What an earlier study of the same task left. name: for people. lessons: its lessons.md.
    points: its best settings that fit this space, best first, with their scores."""

    name: str = ""
    lessons: str = ""
    points: tuple[tuple[dict[str, Scalar], float], ...] = ()


def remember(view: StudyView) -> Remembered:
    """Lessons of the view's trials, and the files of its directory if it has one."""
    data = tuple(lessons(view.space, view.objective, view.baseline, view.trials))
    if view.directory is None:
        return Remembered(data=data)
    notes, _, rest = _read(view.directory / LESSONS).partition(_BEGIN)
    written, _, after = rest.partition(_END)
    _, _, opinions = written.partition(_MODEL)
    kept = tuple(line[2:] for line in opinions.splitlines() if line.startswith("- "))
    own = f"{notes.removeprefix(_HEAD.strip()).removeprefix(_HEAD)}{after}".strip()
    return Remembered(_read(view.directory / STEERING).strip(), own[:_MOST_TEXT], data, kept)


def write_lessons(view: StudyView, said: Sequence[str]) -> str:
    """Renew Overnight's part of lessons.md; `said` is what the model concluded now. The person's text
    around it stays. Returns what is wrong, "" if nothing is."""
    if view.directory is None:
        return ""
    known = remember(view)
    new = [plain(text, 240) for text in said]
    opinions = list(dict.fromkeys([*new, *known.opinions]))[:_MOST_OPINIONS]
    lines = [_BEGIN, _DATA, *(f"- {text}" for text in known.data)]
    if opinions:
        lines += ["", _MODEL, *(f"- {text}" for text in opinions)]
    part = "\n".join([*lines, _END])
    path = view.directory / LESSONS
    try:
        before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if _BEGIN in before and _END in before:
            head, tail = before.partition(_BEGIN)[0], before.partition(_END)[2]
        else:
            head, tail = before + "\n" if before.strip() else _HEAD, "\n"
        if (text := f"{head}{part}{tail}") != before:
            _write(path, text)
    except OSError as error:
        return f"{LESSONS} could not be written: {error}"
    return ""


def earlier(view: StudyView, directory: str) -> tuple[Earlier, list[str]]:
    """What the study in `directory` left, and what people should be told of it.

    The first time it is copied into this study's directory, which is then complete by itself.
    Raises SetupError when there is no such study.
    """
    copy = view.directory / EARLIER if view.directory else None
    if copy is not None and copy.is_file():
        return _from_copy(json.loads(copy.read_text(encoding="utf-8"))), []
    found, said = _from_study(Path(directory).expanduser(), view.space, view.objective)
    if copy is not None:
        plain_form = {"name": found.name, "lessons": found.lessons, "points": found.points}
        _write(copy, json.dumps(plain_form))
    return found, said


def _from_copy(node: dict[str, Any]) -> Earlier:
    return Earlier(node["name"], node["lessons"], tuple((dict(point), score) for point, score in node["points"]))


def _from_study(place: Path, space: Space, objective: Objective) -> tuple[Earlier, list[str]]:
    try:
        study = recorded_study(place)
    except SetupError as error:
        raise SetupError(f"policy.memory: {error}") from None
    text = _read(place / LESSONS).replace(_BEGIN, "").replace(_END, "").replace(_HEAD, "").strip()
    if not text:
        text = "\n".join(f"- {line}" for line in lessons(study.space, study.objective, study.baseline, study.trials))
    said = []
    points: dict[str, tuple[dict[str, Scalar], float]] = {}
    if study.objective != objective:
        said.append(f"memory: {study.name} was scored by {study.objective.metric}: only its lessons are used")
    else:
        scored = [(trial, trial.score) for trial in study.trials if trial.score is not None]
        foreign = 0
        for trial, score in sorted(scored, key=lambda each: -objective.gain(each[1], 0.0)):
            try:
                point = space.check(trial.proposal.params)
            except InvalidParams:
                foreign += 1
                continue
            points.setdefault(json.dumps(point, sort_keys=True), (point, score))
        if foreign:
            said.append(f"memory: {foreign} of {len(scored)} trials of {study.name} do not fit this search space")
    return Earlier(study.name, text[:_MOST_TEXT], tuple(points.values())[:5]), said


def _read(path: Path) -> str:
    """The beginning of a person's file; nothing if there is none or it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(4 * _MOST_TEXT)[:_MOST_TEXT]
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", errors="replace")
    partial.replace(path)
