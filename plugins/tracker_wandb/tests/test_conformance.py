"""The tracker keeps the contract of every tracker, offline and online."""

from collections.abc import Iterator

import pytest
from wandb_server import WandbServer

from core.testing import TrackerConformance


class TestOffline(TrackerConformance):
    name = "wandb"
    options = {"project": "conformance"}  # noqa: RUF012 - as every suite's
    env = {"WANDB_API_KEY": None}  # noqa: RUF012
    call_limit_s = 10.0
    finish_limit_s = 10.0


@pytest.mark.slow  # test_online.py asks more of the same
class TestOnline(TrackerConformance):
    name = "wandb"
    options = {"project": "conformance", "mode": "online"}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def served(self, server: WandbServer) -> Iterator[None]:
        yield
        assert server.unknown == []
