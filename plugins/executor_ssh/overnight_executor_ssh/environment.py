"""The environment of a host's jobs: an interpreter there that can import what they need, made or checked once."""

import hashlib
import json
import threading
import time
from dataclasses import dataclass
from typing import Literal

from overnight_executor_ssh.config import HostSettings, SshConfig
from overnight_executor_ssh.transport import Base, SshTransport, marked
from overnight_jobs import requirements
from overnight_jobs.far_side import FarGone

_LOOK_S = 2.0
# Without these no job of Overnight's starts at all; what else is missing concerns some tasks only.
_ALWAYS = ("pluggy", "pydantic")
_CHECK = (
    "import importlib.util,json,sys;w=json.load(sys.stdin);"
    "print('overnight:'+json.dumps({'version':list(sys.version_info[:3]),"
    "'missing':[m for m in w if importlib.util.find_spec(m) is None]}))"
)


@dataclass(frozen=True)
class Readiness:
    """state: "ready", "absent", "installing" or "failed". python: the interpreter for jobs. said: why it
    is not ready, and todo: what to do then, for a person. missing: packages that this machine has for
    its plugins and the host has not."""

    state: Literal["ready", "absent", "installing", "failed"]
    python: str = ""
    said: str = ""
    todo: str = ""
    missing: tuple[str, ...] = ()


class Environment:
    """One host's. A failure is tried again by the next controller, not by this one."""

    def __init__(self, host: HostSettings, config: SshConfig, transport: SshTransport) -> None:
        self._host, self._config, self._transport = host, config, transport
        self._lines: list[str] | None = None
        self._lock = threading.Lock()
        self._last: Readiness | None = None
        self._looked = 0.0
        self._asked = False

    @property
    def known(self) -> Readiness | None:
        """The last answer, without asking."""
        return self._last

    def look(self) -> Readiness:
        """How far it is; begins to make it where it is not there. Raises FarGone, SetupError."""
        with self._lock:
            over = self._last is not None and self._last.state != "installing"
            if self._last is None or not (over or time.monotonic() - self._looked < _LOOK_S):
                self._last = self._ensured() if self._host.python == "auto" else self._checked()
                self._looked = time.monotonic()
            return self._last

    def peek(self) -> Readiness:
        """How far it is; makes nothing. Raises FarGone, SetupError."""
        return self._ensured(peek=True) if self._host.python == "auto" else self.look()

    def key(self, base: Base) -> str:
        """The name of the environment: what is in it and what it stands on."""
        parts = [base.python, base.version, *self._wanted(), "--", *self._config.pip_args]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _wanted(self) -> list[str]:
        if self._lines is None:
            self._lines = requirements.lines(self._config.requirements)
        return self._lines

    def _ensured(self, *, peek: bool = False) -> Readiness:
        lines, base = self._wanted(), self._transport.base()
        order = {
            "root": base.root, "key": self.key(base), "requirements": lines, "first": requirements.first(lines),
            "pip_args": list(self._config.pip_args), "again": not self._asked, "peek": peek,
        }  # fmt: skip
        told = self._transport.program("install.py", ["ensure"], order)
        self._asked = self._asked or not peek
        if told["state"] == "ready":
            return Readiness("ready", told["python"])
        if told["state"] == "failed":
            hint = "change executor.requirements or executor.pip_args, or set executor.python to one that has it all"
            return Readiness("failed", said=f"{self._host.name}: {told['said']}", todo=hint)
        if told["state"] == "absent":
            return Readiness("absent", said=f"{len(lines)} packages are to be installed")
        step = f": {told['said']}" if told["said"] else ""
        return Readiness("installing", said=f"installing the environment ({told['seconds']} s{step})")

    def _checked(self) -> Readiness:
        base, wanted = self._transport.base(), requirements.modules()
        answer = self._transport.python(_CHECK, json.dumps([*_ALWAYS, *wanted]).encode(), base.python)
        found = next((each for each in marked(answer.out) if isinstance(each, dict)), None)
        if found is None:
            raise FarGone(f"{self._host.name}: {base.python} does not run: {answer.said()}")
        missing = tuple(sorted({wanted.get(module, module) for module in found["missing"]}))
        if fatal := [name for name in _ALWAYS if name in found["missing"]]:
            said = f"{self._host.name}: {base.python} cannot import {' and '.join(fatal)}"
            todo = (
                f"install there what Overnight needs ({', '.join(missing)}), name another executor.python, or set "
                "it to auto"
            )
            return Readiness("failed", base.python, said, todo, missing)
        return Readiness("ready", base.python, missing=missing)
