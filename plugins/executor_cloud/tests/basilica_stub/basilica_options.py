"""The settings with which the cloud executor uses a stub."""

import sys
from typing import Any

from basilica_hand import BasilicaStub

TOKEN = "basilica_stub"


def options(stub: BasilicaStub, **more: Any) -> dict[str, Any]:
    """The executor's settings for a stub."""
    basilica = {"api_url": stub.url, "lag_s": 0.3, **more.pop("basilica", {})}
    return {"name": "cloud", "python": sys.executable, "slots": 4, "basilica": basilica, "provision_s": 30.0, **more}
