"""Makes the scripted server importable by the tests beside it."""

import importlib.util
import sys
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("openai_stub", Path(__file__).parent / "openai_stub.py")
assert _SPEC is not None and _SPEC.loader is not None
if "openai_stub" not in sys.modules:
    sys.modules["openai_stub"] = importlib.util.module_from_spec(_SPEC)
    _SPEC.loader.exec_module(sys.modules["openai_stub"])
