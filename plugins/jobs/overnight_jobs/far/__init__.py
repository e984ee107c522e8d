"""Programs for the machine that runs jobs: standard library only, loaded by path, shipped as they are."""

from pathlib import Path


def supervisor_path() -> Path:
    """Where the supervisor of one job stands; its companions are beside it."""
    return Path(__file__).with_name("supervisor.py")
