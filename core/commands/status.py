"""Shows where a study stands, also while it runs."""

import json

from core.commands.arguments import Parser, study_dirs
from core.console import print_status, status_json
from core.study.launch import read_facts


def main(argv: list[str]) -> int:
    """`status DIR… [--json]`: one JSON object for one study, a list for several."""
    parser = Parser(prog="python -m core status", description=__doc__)
    parser.add_studies()
    parser.add_argument("--json", action="store_true", help="the same facts for programs")
    arguments = parser.parse_args(argv)
    found = [read_facts(directory) for directory in study_dirs(arguments.dirs)]
    if arguments.json:
        shown = [status_json(facts) for facts in found]
        print(json.dumps(shown if len(shown) > 1 else shown[0], indent=2))
        return 0
    for position, facts in enumerate(found):
        if position:
            print()
        print_status(facts)
    return 0
