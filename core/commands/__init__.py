"""The commands: one file a subcommand; `study` is what runs when none is named."""

# Subcommand → module, so that naming one imports nothing else. Each module has
# `main(argv: list[str]) -> int` and its first docstring line is its help.
COMMANDS: dict[str, str] = {
    "resume": "core.commands.resume",
    "status": "core.commands.status",
    "report": "core.commands.report",
    "compare": "core.commands.compare",
    "aa-test": "core.commands.aa_test",
    "publish": "core.commands.publish",
    "reap": "core.commands.reap",
    "mcp": "core.commands.mcp",
    "plugins": "core.commands.plugins",
    "doctor": "core.commands.doctor",
}
