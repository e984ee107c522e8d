"""Checks this machine and every installed executor before anything is spent; says what to do about what fails."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from core.commands.arguments import Parser
from core.commands.doctor_config import compose_executors
from core.commands.doctor_executors import LIMIT_S, Examined, examine
from core.commands.doctor_machine import look
from core.contracts import Diagnosis, Offer
from core.plugins import discover

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}
_PIPED_WIDTH = 1000  # columns: a pipe gets one line a finding, for grep


def main(argv: list[str]) -> int:
    """`doctor [executor=NAME] [KEY=VALUE …] [--json]`; the exit code is 2 if the chosen executor would not work."""
    parser = Parser(prog="python -m core doctor", description=__doc__)
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="KEY=VALUE", help="as for a study: executor=NAME chooses one"
    )
    parser.add_argument("--json", action="store_true", help="the same facts for programs")
    parser.add_argument(
        "--limit", type=float, default=LIMIT_S, metavar="SECONDS", help="for each executor (%(default)g)"
    )
    arguments = parser.parse_args(argv)
    registry = discover()
    composed = compose_executors(arguments.overrides, registry)
    machine = look(composed.studies)
    executors = examine(composed, registry, arguments.limit)
    works = all(found.level != "fail" for found in machine) and any(one.chosen and one.works for one in executors)
    if arguments.json:
        shown = {"works": works, "machine": [asdict(found) for found in machine]}
        print(json.dumps({**shown, "executors": [_plain(one) for one in executors]}, indent=2))
    else:
        _show(machine, executors, works)
    return 0 if works else 2


def _plain(one: Examined) -> dict[str, Any]:
    return {**asdict(one), "works": one.works}


def _show(machine: Sequence[Diagnosis], executors: Sequence[Examined], works: bool) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH

    def lines(tree: Tree, found: Sequence[Diagnosis]) -> None:
        for one in found:
            mark, colour = _MARKS[one.level]
            said, todo = (_lines(text) for text in (one.said, one.todo))
            tree.add(Text.assemble((mark, colour), f" {said}", (f"  → {todo}" if todo else "", "bold")))

    tree = Tree(Text("this machine", style="bold"), guide_style="dim")
    lines(tree, machine)
    console.print(tree)
    for one in executors:
        mark, colour = _MARKS["ok" if one.works else "fail"]
        name = Text.assemble((mark, colour), f" {one.kind} ", (one.name, "bold"), " (chosen)" if one.chosen else "")
        tree = Tree(name, guide_style="dim")
        lines(tree, one.found)
        for offer in one.offers:
            tree.add(Text(_offer(offer), style="dim"))
        console.print(tree)
    chosen = next((one.name for one in executors if one.chosen), "?")
    console.print(f"A study with executor={chosen} {'can start here' if works else 'would not work: see ✗ above'}.")


def _offer(offer: Offer) -> str:
    price = f"${offer.usd_per_hour:.2f} an hour" if offer.usd_per_hour else "free of charge"
    free = "" if offer.available is None else f", {offer.available} at once"
    return f"offers {offer.hardware}, {price}{free}"


def _lines(text: str) -> str:
    """A finding's own lines, each in one piece."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
