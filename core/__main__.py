"""The door: `python -m core …` leads to a subcommand, or to Hydra and a study."""

import importlib
import sys
from collections.abc import Sequence

from core.commands import COMMANDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (see core.errors.EXIT_CODES)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else ""
    if first == "help" or (first not in COMMANDS and ({"-h", "--help"} & set(arguments))):
        from core.commands.help import print_help

        print_help()
        return 0
    from core.errors import OvernightError

    try:
        if first in COMMANDS:
            code: int = importlib.import_module(COMMANDS[first]).main(arguments[1:])
            return code
        _refuse_unknown_command(first)
        from core.commands.study import main as study

        return study(arguments)
    except OvernightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except MemoryError:
        print("error: memory is short; a study that stopped goes on with: python -m core resume DIR", file=sys.stderr)
        return 3
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; that is its right.
        sys.stderr.close()
        return 141


def _refuse_unknown_command(word: str) -> None:
    if word and word[0] not in "-+~" and "=" not in word:
        from core.errors import UsageError
        from core.suggest import did_you_mean, listing

        raise UsageError(
            f"no command {word!r}.{did_you_mean(word, COMMANDS)} Commands: {listing(COMMANDS)}; "
            f"settings are given as key=value (see python -m core --help)"
        )


if __name__ == "__main__":
    sys.exit(main())
