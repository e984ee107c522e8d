"""The model card: what one trial's model is, how it was made and what it scores, as README.md."""

import json
import re
import time
from collections.abc import Iterable, Sequence

from core.contracts import Evaluation, ModelFacts, Trial
from core.journal.facts import StudyFacts
from core.report.card_metadata import front_matter
from core.report.checkpoint import Checkpoint
from core.report.model import Described, is_hub_name, merged, shown_name
from core.report.verdict import Verdict, baseline_of, difference, judge
from core.report.wording import counted, duration, figure, param

_VERSIONS = ("overnight", "python", "torch", "transformers", "trl", "peft")


def model_card(facts: StudyFacts, trial: Trial, checkpoint: Checkpoint, described: Described, where: str = "") -> str:
    """The card of a completed trial's model.

    where: what from_pretrained is given; the reader's own folder if it is left out. Nothing of
    this machine (paths, host, settings that may hold secrets) is in it.
    """
    model = merged(described.facts, checkpoint.base)
    verdict = verdict_on(facts, trial)
    parts = [
        front_matter(facts, trial, checkpoint, model),
        f"# {_plain(facts.study.name)}: trial {trial.number}",
        _opening(facts, trial, checkpoint, model),
        f"**{_plain(verdict.sentence)}**",
        *(f"> {_plain(caveat)}" for caveat in verdict.caveats),
        *(f"> {_plain(note)}" for note in model.notes),
        "## Scores",
        _scores(facts, trial),
        _selection(facts, trial),
        "## How to load it",
        *_loading(checkpoint, model, where or "path/to/this/folder"),
        "## How it was trained",
        _table(("setting", "value"), _recipe(facts, trial, model)),
        "## Where it comes from",
        _table(("", ""), _origin(facts, trial, model)),
    ]
    if described.doubt:
        parts.append(f"This card was written without all its sources: {_plain(described.doubt)}.")
    return "\n\n".join(parts) + "\n"


def verdict_on(facts: StudyFacts, trial: Trial) -> Verdict:
    """The study's verdict, or for a trial that is not its incumbent, that it is not."""
    if trial.number == facts.study.incumbent:
        found = judge(facts)
        if facts.state == "finished":
            return found
        return Verdict(found.sentence, (*found.caveats, "The study has not finished: its test split is not opened."))
    best = f"trial {facts.study.incumbent}" if facts.study.incumbent else "the starting model itself"
    score = f"{facts.study.objective.metric} {_with_interval(trial.evaluation)} on validation"
    return Verdict(f"Trial {trial.number} is not what its study holds to be best, that is {best}; it has {score}.")


def _opening(facts: StudyFacts, trial: Trial, checkpoint: Checkpoint, model: ModelFacts) -> str:
    what = {"adapter": "An adapter (peft)", "model": "A fine-tuned model"}.get(checkpoint.kind, "A trained model")
    base = model.base_model
    if is_hub_name(base):
        start = f"for [{base}](https://huggingface.co/{base})" if checkpoint.kind == "adapter" else f"made from {base}"
    elif base:
        start = f"made from {_plain(shown_name(base))}, a model in a local folder of whoever made it"
    else:
        start = "made from a starting model of the task's own"
    data = ", ".join(_plain(shown_name(name)) for name in model.datasets)
    trained = f" Training data: {data}." if data else ""
    return (
        f"{what} {start} by Overnight, which ran the task "
        f"`{_code(facts.study.task)}` on its own and kept trial {trial.number}.{trained}"
    )


def _scores(facts: StudyFacts, trial: Trial) -> str:
    objective = facts.study.objective
    better = "higher" if objective.direction == "maximize" else "lower"
    rows = []
    baseline = baseline_of(facts)
    named = [("starting model", baseline), (f"this model (trial {trial.number})", trial)]
    for split in ("test", "validation"):
        for label, one in named:
            evaluation = (one.test if split == "test" else one.evaluation) if one else None
            if evaluation is not None:
                by = "self-reported by the script" if evaluation.self_reported else "Overnight"
                low, high = figure(evaluation.low), figure(evaluation.high)
                range_ = "not known" if evaluation.interval == "none" else f"{low} to {high}"
                rows.append((split, label, figure(evaluation.value), range_, str(evaluation.n), by))
    header = ("split", "model", f"{objective.metric} ({better} is better)", "95 % interval", "n", "scored by")
    found = [_table(header, rows)]
    by_itself = any(one.test.self_reported for one in (baseline, trial) if one and one.test)
    if baseline and baseline.test and trial.test and not by_itself:
        gain = difference(trial.test, baseline.test, objective)
        found.append(f"Gain on test: {gain.gain:+.3f} (95 % interval {gain.low:+.3f} to {gain.high:+.3f}).")
    return "\n\n".join(found)


def _selection(facts: StudyFacts, trial: Trial) -> str:
    completed = [one for one in facts.study.trials if one.number and one.status == "completed"]
    times = "once" if facts.test_openings < 2 else f"{facts.test_openings} times"
    opened = (
        f"The test split was opened {times}, at the end, for the starting model and the incumbent alone."
        if facts.test_opened
        else "The test split has not been opened, so the only score is the one that selection used: expect less."
    )
    found = facts.certificate if facts.certificate and facts.certificate.trial == trial.number else None
    why = f": {found.reason}" if found else ""
    standing = f"confirmed on fresh training seeds{why}" if trial.confirmed else f"one training run, not confirmed{why}"
    return (
        f"Selected on the validation split among {counted(len(completed))} ({standing}). {opened} The intervals cover "
        f"the items of the split, not what another training seed would give."
    )


def _loading(checkpoint: Checkpoint, model: ModelFacts, where: str) -> list[str]:
    if checkpoint.kind == "other":
        return ["These files are no transformers or peft model: the study's task loads them."]
    place, loader = json.dumps(where), checkpoint.loader
    names = [loader, *(["AutoTokenizer"] if checkpoint.has_tokenizer else [])]
    lines = [f"from transformers import {', '.join(sorted(names))}"]
    said = []
    if checkpoint.kind == "adapter":
        base = model.base_model or checkpoint.base
        known = is_hub_name(base)
        lines = ["from peft import PeftModel", *lines, ""]
        lines.append(f"base = {loader}.from_pretrained({json.dumps(base if known else 'BASE_MODEL')})")
        lines.append(f"model = PeftModel.from_pretrained(base, {place})")
        if not known:
            said = ["`BASE_MODEL` stands for the starting model, which was a local folder and is not part of this."]
    else:
        lines += ["", f"model = {loader}.from_pretrained({place})"]
    if checkpoint.has_tokenizer:
        lines.append(f"tokenizer = AutoTokenizer.from_pretrained({place})")
    return ["```python\n" + "\n".join(lines) + "\n```", *said]


def _recipe(facts: StudyFacts, trial: Trial, model: ModelFacts) -> list[tuple[str, str]]:
    rest = {name: value for name, value in model.recipe.items() if name not in trial.proposal.params}
    rows = [(name, param(value)) for name, value in (*trial.proposal.params.items(), *rest.items())]
    rows.append(("seed", str(trial.training_seed(facts.study.seed))))
    if trial.proposal.patch:
        rows.append(("program", "changed by a patch, which the study's journal keeps"))
    return rows


def _origin(facts: StudyFacts, trial: Trial, model: ModelFacts) -> list[tuple[str, str]]:
    study = facts.study
    versions = ", ".join(f"{name} {facts.versions[name]}" for name in _VERSIONS if name in facts.versions)
    rows = [
        ("study", f"{study.id}, trial {trial.number}"),
        ("begun", time.strftime("%Y-%m-%d UTC", time.gmtime(facts.created_at))),
        ("search", f"policy {study.policy}, {len([t for t in study.trials if t.number])} trials, seed {study.seed}"),
        ("hardware", trial.hardware or "not recorded"),
        ("time", f"this trial {duration(trial.seconds)}, the whole study {duration(study.seconds)}"),
        ("cost", f"{study.usd:.2f} US dollars for the whole study" if study.usd else "none recorded"),
    ]
    if study.gpu_hours:
        rows.append(("GPU-hours", f"this trial {trial.gpu_hours:.2f}, the whole study {study.gpu_hours:.2f}"))
    if not model.license:
        rows.append(("license", "not known to Overnight: the base model's and the data's terms apply"))
    return [*rows, ("versions", versions)] if versions else rows


def _with_interval(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "no score"
    return f"{figure(evaluation.value)} [{figure(evaluation.low)}, {figure(evaluation.high)}] n={evaluation.n}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown (and the HTML in it) takes literally, on one line."""
    text = "".join(char if char.isprintable() else " " for char in text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(re.sub(r"([\\`*_|\[\]])", r"\\\1", text).split())


def _code(text: str) -> str:
    return "".join(char for char in text if char.isprintable() and char != "`")
