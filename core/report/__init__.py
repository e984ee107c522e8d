"""The report: tables, plots and pages made from a study's facts, and from nothing else."""

from pathlib import Path

from core.journal.facts import StudyFacts


def write_report(facts: StudyFacts, directory: Path) -> list[Path]:
    """Write report.html, report.md, progress.png and results.tsv into `directory`, each whole, and
    the incumbent's model_card.md once there is one.

    Returns the paths. Raises OSError when the directory cannot be written.
    """
    from core.report.write import write

    return write(facts, directory)
