"""Conformance of policy `llm`, asking a scripted server whose answers follow from the question."""

from typing import Any, ClassVar

import pytest

from core.testing import PolicyConformance


class TestLlm(PolicyConformance):
    name = "llm"
    options: ClassVar[dict[str, Any]] = {"model": "openai/stub", "timeout_s": 20}

    @pytest.fixture(autouse=True)
    def _served(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        stub = serve()
        monkeypatch.setattr(type(self), "options", {**type(self).options, "api_base": stub.url})
