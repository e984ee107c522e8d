"""Writing the report: every file whole, by rename."""

import os
from pathlib import Path

from core.journal.facts import StudyFacts
from core.report.card import model_card
from core.report.charts import progress_png
from core.report.checkpoint import inspect
from core.report.markdown import report_markdown
from core.report.model import describe
from core.report.page import report_html
from core.report.results import results_tsv
from core.report.verdict import incumbent_of
from core.worker.spec import CHECKPOINT


def write(facts: StudyFacts, directory: Path) -> list[Path]:
    """Write all files of the report. Raises OSError."""
    made = {
        "results.tsv": results_tsv(facts).encode(),
        "report.md": report_markdown(facts).encode(),
        "progress.png": progress_png(facts),
        "report.html": report_html(facts).encode(),
    }
    paths = [_put(content, directory / name) for name, content in made.items()]
    return [*paths, *_card(facts, directory)]


def _card(facts: StudyFacts, directory: Path) -> list[Path]:
    """The incumbent's model card: among the report, and as README.md with the model that it is about."""
    best = incumbent_of(facts)
    if best is None:
        return []
    checkpoint = inspect(facts.study.directory / "trials" / f"{best.number:04d}" / CHECKPOINT)
    card = model_card(facts, best, checkpoint, describe(facts.study)).encode()
    if directory.resolve() == facts.study.directory.resolve() and checkpoint.folder.is_dir():
        _put(card, checkpoint.folder / "README.md")
    return [_put(card, directory / "model_card.md")]


def _put(content: bytes, path: Path) -> Path:
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
    return path
