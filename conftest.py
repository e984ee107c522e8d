"""No test adds to the person's own list of studies (see core/study/known.py)."""

import os
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """A folder of this run's own, for this process and all that it starts."""
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="overnight-tests-state-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing stays behind."""
    import shutil

    shutil.rmtree(os.environ["XDG_STATE_HOME"], ignore_errors=True)
