"""The test's hand on the stub: starts it, gives it its script, reads its ledger."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

_SERVER = Path(__file__).with_name("server.py")
_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class BasilicaStub:
    """A stub process. Options as on its command line: lag_s=0.5, price=["A100=3600"], namespaces=False."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.token = str(options.get("token", "basilica_stub"))
        words = [] if options.pop("namespaces", True) else ["--no-namespaces"]
        for name, value in options.items():
            for each in value if isinstance(value, list) else [value]:
                words += [f"--{name.replace('_', '-')}", str(each)]
        self.process = subprocess.Popen(
            [sys.executable, str(_SERVER), str(folder), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def __enter__(self) -> "BasilicaStub":
        return self

    def __exit__(self, *_: object) -> None:
        """Close its stdin: it kills its machines and ends."""
        self.process.communicate(timeout=30)

    def admin(self, **changes: Any) -> dict[str, Any]:
        """Change the cloud; read its books."""
        request = urllib.request.Request(self.url + "/admin", json.dumps(changes).encode(), method="POST")
        with _OPEN(request, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def misbehave(self, match: str, do: str, **more: Any) -> None:
        """Answer the next requests ("METHOD /path", a regular expression) in this way."""
        self.admin(rules=[{"match": match, "do": do, **more}])

    def doom(self, about: str = "", **fate: Any) -> None:
        """Decide what becomes of the next machine whose name this expression finds."""
        self.admin(fates=[{"about": about, **fate}])

    def strike(self, about: str = "", **fate: Any) -> None:
        """Change the fate of the machines that live now: preempt_s=0 preempts them at once."""
        self.admin(now=[{"about": about, **fate}])

    def behave(self) -> None:
        """No more misbehaviour from now on."""
        self.admin(behave=True)

    def machines(self, about: str = "") -> list[dict[str, Any]]:
        """Every machine ever made, with these words in its name."""
        return [machine for machine in self.admin()["machines"] if about in machine["name"]]

    def orphans(self) -> int:
        """Machines that are not gone, or processes of machines that are."""
        return sum(machine["alive"] or machine["processes"] > 0 for machine in self.machines())

    @property
    def usd(self) -> float:
        """The true bill."""
        return sum(float(machine["usd"]) for machine in self.machines())

    def wait_for(self, about: str = "", patience_s: float = 10.0, **facts: Any) -> dict[str, Any]:
        """The first machine with these words in its name and these facts in its ledger, as soon as there is one."""
        end = time.monotonic() + patience_s
        while True:
            machines = self.machines(about)
            for machine in machines:
                if all(machine[name] == value for name, value in facts.items()):
                    return machine
            assert time.monotonic() < end, f"no machine {about!r} with {facts} within {patience_s} s: {machines}"
            time.sleep(0.02)
