"""The cloud executor passes the suite of all executors, on real machines of a stub of Basilica's API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from basilica_hand import BasilicaStub
from basilica_options import options

from core.contracts import Executor
from core.plugins import discover
from core.testing import ExecutorConformance


class TestCloud(ExecutorConformance):
    """Every sentence of the contract, driven by the real SDK."""

    name = "cloud"

    @pytest.fixture(autouse=True)
    def _stub(self, stub: BasilicaStub) -> Iterator[None]:
        self.stub = stub
        yield

    def make(self, workspace: Path) -> Executor:
        """See ExecutorConformance."""
        executor: Executor = discover().build("executor", options(self.stub), workspace=workspace)
        return executor
