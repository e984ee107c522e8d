"""Writing the report: every file whole, by rename."""

import os
from pathlib import Path

from core.journal.facts import StudyFacts
from core.report.charts import progress_png
from core.report.markdown import report_markdown
from core.report.page import report_html
from core.report.results import results_tsv


def write(facts: StudyFacts, directory: Path) -> list[Path]:
    """Write all files of the report. Raises OSError."""
    made = {
        "results.tsv": results_tsv(facts).encode(),
        "report.md": report_markdown(facts).encode(),
        "progress.png": progress_png(facts),
        "report.html": report_html(facts).encode(),
    }
    paths = []
    for name, content in made.items():
        partial = directory / f".{name}.partial-{os.getpid()}"
        partial.write_bytes(content)
        partial.replace(directory / name)
        paths.append(directory / name)
    return paths
