"""Writes a study's report anew: report.html, report.md, progress.png, results.tsv."""

import json
from pathlib import Path

from core.commands.arguments import Parser
from core.console import print_summary, status_json
from core.errors import UsageError
from core.report import write_report
from core.study.launch import read_facts


def main(argv: list[str]) -> int:
    """`report DIR [--to DIR] [--json]`."""
    parser = Parser(prog="python -m core report", description=__doc__)
    parser.add_argument("dir", type=Path, help="the study directory")
    parser.add_argument("--to", type=Path, default=None, help="where to write (default: the study directory)")
    parser.add_argument("--json", action="store_true", help="print the facts for programs instead of the summary")
    arguments = parser.parse_args(argv)
    facts = read_facts(arguments.dir)
    target = arguments.to or arguments.dir
    try:
        target.mkdir(parents=True, exist_ok=True)
        written = write_report(facts, target)
    except OSError as error:
        raise UsageError(f"cannot write the report in {target}: {error}; choose another place with --to DIR") from None
    if arguments.json:
        print(json.dumps({**status_json(facts), "report": [str(path) for path in written]}, indent=2))
    else:
        print_summary(facts)
        print("\n".join(f"Wrote {path}" for path in written))
    return 0
