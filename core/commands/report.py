"""Writes a study's report anew: report.html, report.md, progress.png, results.tsv."""

import json
from pathlib import Path

from core.commands.arguments import Parser, study_dirs
from core.console import print_summary, status_json
from core.errors import UsageError
from core.journal.facts import StudyFacts
from core.report import write_report
from core.study.launch import read_facts


def main(argv: list[str]) -> int:
    """`report DIR… [--to DIR] [--json]`: one JSON object for one study, a list for several."""
    parser = Parser(prog="python -m core report", description=__doc__)
    parser.add_studies()
    parser.add_argument(
        "--to", type=Path, default=None, help="where to write, a folder per study if there are several (default: DIR)"
    )
    parser.add_argument("--json", action="store_true", help="print the facts for programs instead of the summary")
    arguments = parser.parse_args(argv)
    shown = []
    found = [read_facts(directory) for directory in study_dirs(arguments.dirs)]
    for position, facts in enumerate(found):
        own = facts.study.directory
        target = own if arguments.to is None else arguments.to / own.name if len(found) > 1 else arguments.to
        written = _write(facts, target)
        if arguments.json:
            shown.append({**status_json(facts), "report": [str(path) for path in written]})
            continue
        if len(found) > 1:
            print(own if position == 0 else f"\n{own}")
        print_summary(facts)
        print("\n".join(f"Wrote {path}" for path in written))
    if arguments.json:
        print(json.dumps(shown if len(shown) > 1 else shown[0], indent=2))
    return 0


def _write(facts: StudyFacts, target: Path) -> list[Path]:
    try:
        target.mkdir(parents=True, exist_ok=True)
        return list(write_report(facts, target))
    except OSError as error:
        raise UsageError(f"cannot write the report in {target}: {error}; choose another place with --to DIR") from None
