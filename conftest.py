"""What no test leaves behind: entries in the person's own list of studies, processes that wait for a question."""

import os
import sys
import tempfile
from collections.abc import Iterator

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """A folder of this run's own, for this process and all that it starts."""
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="overnight-tests-state-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing stays behind."""
    import shutil

    shutil.rmtree(os.environ["XDG_STATE_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def _no_helper_left() -> Iterator[None]:
    """A process that waits for a next question to a language model ends with the module that used it."""
    yield
    if (process := sys.modules.get("overnight_llm.process")) is not None:
        process.rest()
