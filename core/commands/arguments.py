"""Arguments of subcommands: a parser whose mistakes end like every other usage error."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from core.errors import UsageError
from core.journal.store import FILENAME


class Parser(argparse.ArgumentParser):
    """argparse, raising UsageError instead of exiting by itself."""

    def add_studies(self) -> None:
        """One or more study directories, or folders of them, as `dirs`."""
        self.add_argument("dirs", type=Path, nargs="+", metavar="DIR", help="study directories, or folders of them")

    def error(self, message: str) -> NoReturn:
        """Called by argparse for a wrong argument."""
        raise UsageError(f"{message}\n{self.format_usage().strip()}")


def study_dirs(given: Iterable[Path]) -> list[Path]:
    """The study directories meant; a folder that holds studies stands for all of them."""
    return [directory for place in given for directory in _studies(place)]


def _studies(place: Path) -> list[Path]:
    if (place / FILENAME).exists():
        return [place]
    # A folder without studies is returned as it is: whoever opens it says that it is no study.
    return sorted(path.parent for path in place.glob(f"*/{FILENAME}")) or [place]
