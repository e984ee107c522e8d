"""Compares studies side by side: one line each, with test scores and intervals."""

import json

from core.commands.arguments import Parser, study_dirs
from core.console import comparison_json, print_comparison
from core.study.launch import read_facts


def main(argv: list[str]) -> int:
    """`compare DIR… [--json]`; a directory that holds studies stands for all of them."""
    parser = Parser(prog="python -m core compare", description=__doc__)
    parser.add_studies()
    parser.add_argument("--json", action="store_true", help="the same facts for programs")
    arguments = parser.parse_args(argv)
    facts = [read_facts(directory) for directory in study_dirs(arguments.dirs)]
    if arguments.json:
        print(json.dumps(comparison_json(facts), indent=2))
    else:
        print_comparison(facts)
    return 0
