"""The connection to one host: made when it is needed, noticed when it breaks, shared by all that is asked."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import asyncssh

from core import SetupError
from overnight_executor_ssh.config import HostSettings, SshConfig
from overnight_jobs.far_side import FarGone

# A dead host is noticed after 15 seconds without an answer.
_ALIVE_S, _ALIVE_TIMES = 5, 2
# sshd allows ten channels on a connection unless it is told otherwise.
_CHANNELS = 8
# Of those, transfers leave some to questions: files may take hours, and who is asked is not silent meanwhile.
_TRANSFERS = 4
_COOL_S = 3.0

logging.getLogger("asyncssh").setLevel(logging.WARNING)

Process = asyncssh.SSHClientProcess[bytes]
Kind = Literal["question", "work", "transfer"]


class Refused(SetupError):
    """A person has to do something before jobs can go to this host. said: what is wrong; todo: what to do."""

    def __init__(self, said: str, todo: str) -> None:
        super().__init__(f"{said}; {todo}")
        self.said, self.todo = said, todo


@dataclass(frozen=True)
class Answer:
    """What a command left. code: its exit code, -1 = ended by a signal."""

    code: int
    out: bytes
    err: bytes

    def said(self) -> str:
        """What it said last, for a message."""
        text = (self.err.strip() or self.out.strip()).decode(errors="replace")
        return text[-500:] or "it said nothing"


class Connection:
    """One SSH connection; all its methods run in the event loop of `background`. asked: called whenever
    a question is on its way to the host."""

    def __init__(self, host: HostSettings, config: SshConfig, asked: Callable[[], None]) -> None:
        self._host, self._config, self._asked = host, config, asked
        self._made: asyncssh.SSHClientConnection | None = None
        self._lock = asyncio.Lock()
        self._channels = asyncio.Semaphore(_CHANNELS)
        self._transfers = asyncio.Semaphore(_TRANSFERS)
        self._failed: tuple[float, FarGone | Refused] | None = None

    @contextlib.asynccontextmanager
    async def channel(self, kind: Kind) -> AsyncIterator[None]:
        """A place among the few channels that may be open at once. kind: a question has an answer soon;
        work takes its time on the host; a transfer moves files."""
        async with self._transfers if kind == "transfer" else contextlib.nullcontext(), self._channels:
            if kind == "question":
                self._asked()
            yield

    async def process(self, command: str) -> Process:
        """Start a command on the host. Raises FarGone, Refused."""
        made = await self._connected()
        with self._translated():
            return await asyncio.wait_for(
                # No variable of this machine goes there, whatever the person's configuration sends elsewhere.
                made.create_process(command, encoding=None, env=None, send_env=[]), self._config.connect_timeout_s
            )  # fmt: skip

    async def run(self, command: str, data: bytes = b"", timeout_s: float = 60.0) -> Answer:
        """Run a command to its end, with bytes on its standard input. Raises FarGone, Refused."""
        process = await self.process(command)
        with self._translated():
            try:
                out, err = await asyncio.wait_for(process.communicate(data), timeout_s)
            finally:
                process.close()
        if process.exit_status is None:
            raise FarGone(f"{self._host.name}: the connection broke before a command there ended")
        return Answer(process.exit_status, out or b"", err or b"")

    @property
    def made(self) -> bool:
        """Whether there is one."""
        return self._made is not None

    def close(self) -> None:
        """Give the connection back; the next question makes a new one."""
        made, self._made = self._made, None
        if made is not None:
            made.abort()

    # Inside.

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._lock:
            if self._made is not None and not self._made.is_closed():
                return self._made
            if self._failed is not None and time.monotonic() - self._failed[0] < _COOL_S:
                raise self._failed[1]  # who asks much does not wait for a dead host each time
            try:
                self._made = await self._connect()
            except (FarGone, Refused) as error:
                self._failed = (time.monotonic(), error)
                raise
            self._failed = None
            return self._made

    async def _connect(self) -> asyncssh.SSHClientConnection:
        host, config = self._host, self._config
        options: dict[str, object] = {"port": host.port or (), "username": host.user or ()}
        if config.key is not None:
            options["client_keys"] = [str(Path(config.key).expanduser())]
        if config.known_hosts is not None:
            options["known_hosts"] = str(Path(config.known_hosts).expanduser())
        with self._translated():
            return await asyncio.wait_for(
                asyncssh.connect(
                    host.host, connect_timeout=config.connect_timeout_s, login_timeout=config.connect_timeout_s,
                    keepalive_interval=_ALIVE_S, keepalive_count_max=_ALIVE_TIMES, **options,
                ), 2 * config.connect_timeout_s,
            )  # fmt: skip

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        name, config = self._host.name, self._config
        try:
            yield
        except asyncssh.HostKeyNotVerifiable as error:
            place = config.known_hosts or "~/.ssh/known_hosts"
            port = f"-p {self._host.port} " if self._host.port else ""
            raise Refused(
                f"{name}: its host key is not the one in {place}, or not in there at all ({error.reason})",
                f"if it is a new host or has a new key, compare what `ssh-keyscan {port}{self._host.host}` says with "
                f"the host's own key and put it into {place}, or set executor.known_hosts",
            ) from None
        except asyncssh.PermissionDenied as error:
            raise Refused(
                f"{name}: it does not accept our key ({error.reason})",
                "add a key that it knows to the ssh agent, name one in ~/.ssh/config, or set executor.key",
            ) from None
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, FileNotFoundError, PermissionError) as error:
            raise Refused(
                f"{name}: a key or known_hosts file cannot be read ({error})",
                "set executor.key and executor.known_hosts to files of yours, a locked key's to the ssh agent's",
            ) from None
        except ValueError as error:
            place = config.known_hosts or "~/.ssh/known_hosts"
            raise Refused(
                f"{name}: the settings of ssh here cannot be understood ({error or type(error).__name__})",
                f"mend that line of ~/.ssh/config or {place}, or set executor.known_hosts to a file without it",
            ) from None
        except TimeoutError:
            raise FarGone(f"{name} did not answer in time") from None
        except (asyncssh.Error, OSError) as error:
            raise FarGone(f"{name}: {_plain(error)}") from None


def _plain(error: Exception) -> str:
    text = str(getattr(error, "reason", "") or error or type(error).__name__)
    return text.splitlines()[0][:300]
