"""Shows where a study stands, also while it runs."""

import json
from pathlib import Path

from core.commands.arguments import Parser
from core.console import print_status, status_json
from core.study.launch import read_facts


def main(argv: list[str]) -> int:
    """`status DIR [--json]`."""
    parser = Parser(prog="python -m core status", description=__doc__)
    parser.add_argument("dir", type=Path, help="the study directory")
    parser.add_argument("--json", action="store_true", help="the same facts for programs")
    arguments = parser.parse_args(argv)
    facts = read_facts(arguments.dir)
    if arguments.json:
        print(json.dumps(status_json(facts), indent=2))
    else:
        print_status(facts)
    return 0
