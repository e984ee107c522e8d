"""The ssh executor on a real sshd: the sentences of core.contracts.Executor."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hosts import Sshd

from core import Job
from core.contracts import Executor
from core.testing import ExecutorConformance
from overnight_jobs.far import landlock


class TestSsh(ExecutorConformance):
    name = "ssh"
    patience_s = 60.0
    options: ClassVar[dict[str, Any]] = {"slots": 3, "confine": "auto" if landlock.available() else "off"}

    @pytest.fixture(autouse=True)
    def _on_loopback(self, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Another test run on this machine, of another executor, must not end these jobs as its own.
        monkeypatch.setattr("core.testing.executor._OWNER", f"study-a-{os.getpid()}")
        keys = sshd.keys
        self.where = {
            "hosts": [sshd.name], "python": sys.executable, "root": str(tmp_path / "far"), "key": str(keys.user),
            "known_hosts": str(keys.known_hosts),
        }  # fmt: skip

    def job(self, code: str, token: str = "study-a/0001/train/a1", **more: Any) -> Job:
        return super().job(code, f"{token}-{os.getpid()}", **more)

    def make(self, workspace: Path) -> Executor:
        from core.plugins import discover

        node = {"name": self.name, **self.options, **self.where}
        executor: Executor = discover().build("executor", node, workspace=workspace)
        return executor
