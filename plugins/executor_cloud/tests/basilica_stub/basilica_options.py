"""The settings with which the cloud executor uses a stub."""

import sys
from typing import Any

from basilica_hand import BasilicaStub

TOKEN = "basilica_stub"


def options(stub: BasilicaStub, **more: Any) -> dict[str, Any]:
    """The executor's settings for a stub."""
    basilica = {"api_url": stub.url, "lag_s": 0.3, **more.pop("basilica", {})}
    found = {"name": "cloud", "python": sys.executable, "requirements": "none", "slots": 4, "provision_s": 30.0}
    return {**found, "basilica": basilica, **more}
