"""Policies `hybrid` and `replay` keep the contract of policies."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from core import Space
from core.testing import PolicyConformance
from core.testing.trials import MIXED


class TestHybrid(PolicyConformance):
    name = "hybrid"


class TestReplay(PolicyConformance):
    name = "replay"
    finite = True
    spaces: ClassVar[dict[str, Space]] = {"mixed": MIXED}

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _recorded(cls, tmp_path_factory: pytest.TempPathFactory, record: Callable[..., Path]) -> None:
        place: Path = tmp_path_factory.mktemp("recorded")
        tried = [(MIXED.sample(random.Random(100 + i)), i / 20) for i in range(20)]
        cls.options = {"study": str(record(place / "study", MIXED, tried))}

    def test_the_seed_of_the_study_is_what_makes_proposals_differ(self) -> None:
        """Not here: what is replayed is the recorded study's choice."""
        assert self.ask(MIXED, 2, seed=1) == self.ask(MIXED, 2, seed=2)
