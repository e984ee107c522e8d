"""Compares studies side by side: one line each, with test scores and intervals."""

import json
from pathlib import Path

from core.commands.arguments import Parser
from core.console import comparison_json, print_comparison
from core.errors import UsageError
from core.journal.store import FILENAME
from core.study.launch import read_facts


def main(argv: list[str]) -> int:
    """`compare DIR… [--json]`; a directory that holds studies stands for all of them."""
    parser = Parser(prog="python -m core compare", description=__doc__)
    parser.add_argument("dirs", type=Path, nargs="+", metavar="DIR", help="study directories, or folders of them")
    parser.add_argument("--json", action="store_true", help="the same facts for programs")
    arguments = parser.parse_args(argv)
    facts = [read_facts(directory) for given in arguments.dirs for directory in _studies(given)]
    if arguments.json:
        print(json.dumps(comparison_json(facts), indent=2))
    else:
        print_comparison(facts)
    return 0


def _studies(given: Path) -> list[Path]:
    if (given / FILENAME).exists():
        return [given]
    found = sorted(path.parent for path in given.glob(f"*/{FILENAME}"))
    if not found:
        raise UsageError(f"{given} is no study and holds none")
    return found
