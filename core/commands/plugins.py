"""Lists the installed plugins: kind, name, distribution, version, description, status."""

import json

from core.commands.arguments import Parser
from core.errors import PluginError
from core.plugins import Plugin, Registry, describe, discover

_PIPED_WIDTH = 1000  # columns: a pipe gets one line a plugin, for grep


def main(argv: list[str]) -> int:
    """`plugins [--json]`."""
    parser = Parser(prog="python -m core plugins", description=__doc__)
    parser.add_argument("--json", action="store_true", help="a list of objects for programs")
    arguments = parser.parse_args(argv)
    registry = discover()
    rows = [_row(registry, plugin) for plugin in registry.plugins()]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("kind", "name", "distribution", "version", "description", "status"):
        table.add_column(column, overflow="fold", no_wrap=column in {"kind", "name", "version", "distribution"})
    for row in rows:
        cells = [Text(value) for value in row.values()]
        cells[-1].style = "green" if row["status"] == "ok" else "red"
        table.add_row(*cells)
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(table)
    return 0


def _row(registry: Registry, plugin: Plugin) -> dict[str, str]:
    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "description": describe(plugin),
        "status": _status(registry, plugin),
    }


def _status(registry: Registry, plugin: Plugin) -> str:
    """ "ok", "broken: cause", or "conflict: who else and how to choose"."""
    if plugin.problem:
        return f"{'broken' if plugin.kind == 'plugin' else 'conflict'}: {plugin.problem}"
    try:
        registry.load(plugin.kind, plugin.qualified)
    except PluginError as error:
        return f"broken: {error}"
    return "ok"
