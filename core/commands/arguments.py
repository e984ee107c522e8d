"""Arguments of subcommands: a parser whose mistakes end like every other usage error."""

import argparse
from typing import NoReturn

from core.errors import UsageError


class Parser(argparse.ArgumentParser):
    """argparse, raising UsageError instead of exiting by itself."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for a wrong argument."""
        raise UsageError(f"{message}\n{self.format_usage().strip()}")
