"""A bundle: the files that make up one published model, some of them rewritten on the way out."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.contracts import BASELINE, Trial
from core.errors import UsageError
from core.journal.facts import StudyFacts
from core.report.card import model_card, verdict_on
from core.report.checkpoint import ADAPTER, Checkpoint, inspect, read_object
from core.report.model import describe, is_hub_name, merged
from core.report.verdict import Verdict
from core.study.layout import Layout

CARD = "README.md"
_PATH_KEYS = {"config.json": "_name_or_path", "tokenizer_config.json": "name_or_path"}


@dataclass(frozen=True)
class Bundle:
    """copied: path in the bundle → file of this machine. written: path in the bundle → content.
    study: id of the study. warnings: what the person who publishes should know first."""

    study: str
    trial: Trial
    verdict: Verdict
    checkpoint: Checkpoint
    copied: Mapping[str, Path] = field(default_factory=dict)
    written: Mapping[str, bytes] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All files, sorted."""
        return sorted({*self.copied, *self.written})

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(path.stat().st_size for path in self.copied.values()) + sum(map(len, self.written.values()))

    def copy_to(self, folder: Path) -> None:
        """Write all files below a folder. Raises OSError."""
        for name, source in self.copied.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
        for name, content in self.written.items():
            (folder / name).write_bytes(content)


def gather(facts: StudyFacts, number: int | None, where: str = "") -> Bundle:
    """The bundle of a trial, the incumbent if `number` is None; `where`: as in model_card.

    Raises UsageError when there is nothing to publish or it is not whole.
    """
    trial = _chosen(facts, number)
    folder = Layout(facts.study.directory).checkpoint(trial.number)
    checkpoint = inspect(folder)
    if checkpoint.problem:
        raise UsageError(f"the checkpoint of trial {trial.number} cannot be published, {checkpoint.problem}: {folder}")
    described = describe(facts.study)
    base = merged(described.facts, checkpoint.base).base_model
    written = {CARD: model_card(facts, trial, checkpoint, described, where).encode()}
    written |= _rewritten(checkpoint, base)
    warnings = [described.doubt] if described.doubt else []
    if checkpoint.kind == "adapter" and not is_hub_name(base):
        warnings.append(f"the adapter's base model is a folder of this machine ({base}): elsewhere it cannot be loaded")
    if facts.state != "finished":
        warnings.append(f"the study is not finished ({facts.state}): its test split is not opened; the card says so")
    copied = {name: folder / name for name in checkpoint.files if name not in written}
    verdict = verdict_on(facts, trial)
    return Bundle(facts.study.id, trial, verdict, checkpoint, copied, written, tuple(warnings))


def _chosen(facts: StudyFacts, number: int | None) -> Trial:
    ready = [str(one.number) for one in facts.study.trials if one.number and one.status == "completed"]
    choice = f"trials {', '.join(ready[:20])} completed: --trial N publishes one" if ready else "no trial completed"
    if number is None and not facts.study.incumbent:
        raise UsageError(f"nothing to publish: no trial of {facts.study.name} beat the starting model ({choice})")
    wanted = facts.study.incumbent if number is None else number
    if wanted == BASELINE:
        raise UsageError(f"trial 0 is the untouched starting model, there is nothing to publish ({choice})")
    trial = next((one for one in facts.study.trials if one.number == wanted), None)
    if trial is None:
        raise UsageError(f"{facts.study.name} has no trial {wanted} ({choice})")
    if trial.status != "completed":
        raise UsageError(f"trial {wanted} has no model to publish, it is {trial.status} ({choice})")
    return trial


def _rewritten(checkpoint: Checkpoint, base: str | None) -> dict[str, bytes]:
    """Settings files that name folders of this machine: with the hub's name instead, or without."""
    found = {}
    if checkpoint.kind == "adapter" and is_hub_name(base) and checkpoint.base != base:
        settings = read_object(checkpoint.folder / ADAPTER)
        # A revision belonged to whatever stood there before.
        found[ADAPTER] = _json({**settings, "base_model_name_or_path": base, "revision": None})
    for name, key in _PATH_KEYS.items():
        if name in checkpoint.files:
            settings = read_object(checkpoint.folder / name)
            if str(settings.get(key, "")).startswith(("/", "~", "\\")):
                found[name] = _json({k: v for k, v in settings.items() if k != key})
    return found


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
