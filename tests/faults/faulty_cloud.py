"""The test's hand on the misbehaving cloud: starts it, gives it its script, reads its ledger."""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PROVIDER = Path(__file__).with_name("provider.py")


class FaultyCloud:
    """A provider process with its key file. usd_per_hour: 3600 = a dollar a second."""

    def __init__(self, folder: Path, *, lag_s: float = 0.2, usd_per_hour: float = 3600.0) -> None:
        folder.mkdir(parents=True)
        self.lag_s = lag_s
        self.key_file = folder / "key"
        self.key_file.write_text("key-1")
        self._process = subprocess.Popen(
            [sys.executable, str(_PROVIDER), str(folder / "machines"), str(usd_per_hour), str(lag_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def __enter__(self) -> "FaultyCloud":
        return self

    def __exit__(self, *_: object) -> None:
        """Close its stdin: it kills its machines and ends."""
        self._process.communicate(timeout=30)

    def node(self, **more: Any) -> dict[str, Any]:
        """The study's `executor` node."""
        return {
            "name": "example_cloud",
            "url": self.url,
            "key_file": str(self.key_file),
            "lag_s": self.lag_s,
            "timeout_s": 1.0,
            **more,
        }

    def words(self, **more: Any) -> list[str]:
        """The same on the command line."""
        node = self.node(**more)
        return [f"executor={node.pop('name')}", *(f"executor.{key}={value}" for key, value in node.items())]

    def admin(self, **changes: Any) -> dict[str, Any]:
        """Change the cloud; see `Cloud.admin`."""
        request = urllib.request.Request(self.url + "/admin", json.dumps(changes).encode(), method="POST")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def misbehave(self, match: str, do: str, **more: Any) -> None:
        """Answer the next requests ("METHOD /path", a regular expression) in this way."""
        self.admin(rules=[{"match": match, "do": do, **more}])

    def doom(self, about: str, **fate: Any) -> None:
        """Decide what becomes of the next machine whose token this expression finds."""
        self.admin(fates=[{"about": about, **fate}])

    def behave(self) -> None:
        """No more misbehaviour from now on."""
        self.admin(behave=True)

    def when(self, about: str, then: Callable[[], object]) -> None:
        """Do something, from another thread, as soon as a machine with these words in its token runs."""

        def wait_then_do() -> None:
            self.wait_for(about, status="running")
            then()

        threading.Thread(target=wait_then_do, daemon=True).start()

    def machines(self, about: str = "") -> list[dict[str, Any]]:
        """Every machine ever made."""
        return [machine for machine in self.admin()["machines"] if about in machine["token"]]

    @property
    def injected(self) -> int:
        """How often it misbehaved."""
        return int(self.admin()["injected"])

    @property
    def usd(self) -> float:
        """The true bill."""
        return sum(float(machine["usd"]) for machine in self.machines())

    def orphans(self) -> int:
        """Machines that are not deleted, or processes of machines that are."""
        return sum(machine["alive"] or machine["processes"] > 0 for machine in self.machines())

    def wait_for(self, about: str, count: int = 1, patience_s: float = 30.0, status: str = "") -> None:
        """Until so many machines with these words in their token were made (and have a status)."""
        end = time.monotonic() + patience_s
        while sum(status in machine["status"] for machine in self.machines(about)) < count:
            assert time.monotonic() < end, f"fewer than {count} machines {about!r} within {patience_s} s"
            time.sleep(0.05)
