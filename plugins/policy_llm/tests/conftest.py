"""The scripted server of overnight-llm's tests, loaded by its path."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

_PATH = Path(__file__).parents[2] / "llm" / "tests" / "openai_stub.py"
_SPEC = importlib.util.spec_from_file_location("openai_stub", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
openai_stub = importlib.util.module_from_spec(_SPEC)
sys.modules.setdefault("openai_stub", openai_stub)
_SPEC.loader.exec_module(openai_stub)


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    """serve(*script, always=…) starts a scripted server for the test's time."""
    with ExitStack() as stack:

        def start(*script: Any, always: Any = None) -> Any:
            return stack.enter_context(sys.modules["openai_stub"].Stub(script, always))

        yield start
