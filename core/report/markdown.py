"""report.md: the report as Markdown."""

from collections.abc import Iterable, Sequence

from core.journal.facts import StudyFacts
from core.report.importance import importance
from core.report.story import config_text, tell


def report_markdown(facts: StudyFacts) -> str:
    """The same facts as report.html, as text."""
    story = tell(facts)
    found = importance(facts)
    parts = [
        f"# {_plain(story.title)}",
        _plain(story.verdict.sentence),
        *(f"> {_plain(c)}" for c in story.verdict.caveats),
    ]
    parts.append(_table(("", "", ""), story.cards))
    parts.append("![Progress](progress.png)")
    parts.append("## What led, and why")
    kept = [(k.number, k.score, k.gain, k.changes, k.why) for k in story.kept]
    parts.append(_table(("trial", "validation", "gain", "changed", "why"), kept) if kept else "Nothing led.")
    parts.append("## Which parameters mattered")
    shares = [(name, f"{share:.0%}") for name, share in found.shares.items()]
    parts.append(
        f"{_table(('parameter', 'share'), shares)}\n\n{found.note}" if shares else f"Not computed: {found.why_not}."
    )
    parts.append("## Trials")
    header = ("trial", "outcome", "validation", *story.param_names, "seconds", "attempt", "why")
    rows = []
    for row in story.rows:
        values = [row.params.get(name, "") for name in story.param_names]
        rows.append((row.number, row.outcome, row.score, *values, row.seconds, row.attempt, row.reason))
    parts.append(_table(header, rows))
    if story.patches:
        parts.append("## Changes to the program")
        parts.append(
            _table(
                ("trial", "outcome", "change", "why"), [(p.number, p.outcome, p.summary, p.why) for p in story.patches]
            )
        )
        parts += [f"Trial {p.number}, which led:\n\n```diff\n{_fenced(p.diff)}\n```" for p in story.patches if p.kept]
    if story.failures:
        parts += ["## Failures", _table(("kind", "count", "which"), story.failures)]
    if story.preflight:
        parts += ["## Preflight", _table(("measured with the starting model", ""), story.preflight)]
    if story.startup:
        parts += ["## Start-up of a trial", _table(("part", "median over trials"), story.startup)]
    parts.append("## Notices")
    parts.append(
        _table(("at", "what"), story.notices) if story.notices else "None: nothing was skipped or fallen back on."
    )
    parts += ["## Budget", _table(("", "used", "limit"), story.budget)]
    parts += ["## Reproduce", _table(("", ""), story.facts), "\n".join(f"    {command}" for command in story.commands)]
    parts.append(f"```json\n{_fenced(config_text(facts.study.config))}\n```")
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_plain(str(cell)) for cell in line) + " |" for line in lines)


def _fenced(text: str) -> str:
    """Text that does not end the code block it stands in."""
    return text.rstrip("\n").replace("```", "'''")


def _plain(text: str) -> str:
    """Text that Markdown (and the HTML in it) takes literally, on one line."""
    for char in "\\`*_|[]":
        text = text.replace(char, f"\\{char}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
