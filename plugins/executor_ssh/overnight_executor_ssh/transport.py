"""The agent's transport over SSH: sessions on one connection, each asked one question at a time."""

import asyncio
import contextlib
import hashlib
import io
import json
import re
import shlex
import tarfile
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import asyncssh

import overnight_executor_ssh.far
import overnight_jobs.far
from overnight_executor_ssh.background import loop, wait
from overnight_executor_ssh.config import HostSettings, SshConfig
from overnight_executor_ssh.connection import Answer, Connection, Kind, Process, Refused
from overnight_jobs.far.install import MARK
from overnight_jobs.far_side import FarGone

T = TypeVar("T")

_CHUNK = 1 << 18
_GREETING_START = b"overnight-session "
# Seconds for one more byte of an answer; packing a big checkpoint comes before its first.
_PATIENCE_S = 900.0
_START_S = 60.0
_MOST_NOISE = 1 << 16
_PYTHONS = (
    "python3 python3.13 python3.12 python3.11 python3.14 /usr/local/bin/python3 /opt/conda/bin/python3"
    ' "$HOME"/miniconda3/bin/python3 "$HOME"/anaconda3/bin/python3 "$HOME"/.pyenv/shims/python3'
    ' "$HOME"/.local/bin/python3.13 "$HOME"/.local/bin/python3.12 "$HOME"/.local/bin/python3.11'
)
_PROBE = (
    "import json,os,sys;print('overnight:'+json.dumps([sys.executable,list(sys.version_info[:3]),"
    "os.path.expanduser('~')]));sys.exit(sys.version_info<(3,11))"
)
_PLACE = (
    "import os,shutil,sys,tarfile;t=sys.argv[1];p=t+'.%d'%os.getpid();shutil.rmtree(p,True);os.makedirs(p);"
    "tarfile.open(fileobj=sys.stdin.buffer,mode='r|gz').extractall(p);\n"
    "try: os.rename(p,t)\nexcept OSError: shutil.rmtree(t,True) or os.rename(p,t)"
)


@dataclass(frozen=True)
class Base:
    """What was found on a host first. python: absolute path; version: e.g. "3.11.7"; root: absolute."""

    python: str
    version: str
    root: str


@dataclass(frozen=True)
class Way:
    """A transport for one kind of what is asked of a host."""

    transport: "SshTransport"
    kind: Kind

    def exchange(self, message: BinaryIO) -> BinaryIO:
        """See overnight_jobs.far_side.Transport."""
        return self.transport.exchange(message, self.kind)


class SshTransport:
    """One host's agent. Thread-safe; the programs are placed when they are missed. asked: called, in the
    event loop, whenever a question is on its way to the host."""

    def __init__(self, host: HostSettings, config: SshConfig, asked: Callable[[], None]) -> None:
        self._host = host
        self._idle: list[Process] = []
        self._base: Base | None = None
        self._packed, self._digest = packed()
        self._connection = Connection(host, config, asked)
        self.sent = self.taken = 0  # bytes of questions and answers, for whoever wants to know what travels

    def exchange(self, message: BinaryIO, kind: Kind) -> BinaryIO:
        """See overnight_jobs.far_side.Transport; kind: see Connection.channel."""
        return wait(self._exchange(message, kind))

    def base(self) -> Base:
        """Which Python the host has, and where its root folder is. Raises FarGone, Refused."""
        return wait(self._question(self._found()))

    def program(self, name: str, arguments: list[str], order: dict[str, Any]) -> dict[str, Any]:
        """What one of the placed programs answers to an order. Raises FarGone, Refused."""
        return wait(self._question(self._program(name, arguments, json.dumps(order).encode())))

    def python(self, script: str, data: bytes, python: str) -> Answer:
        """Run a short script on the host with an interpreter of its. Raises FarGone, Refused."""
        return wait(self._question(self._connection.run(_line(python, "-c", script), data)))

    def close(self) -> None:
        """Give the connection back; may be called from any thread."""
        if self._connection.made:
            loop().call_soon_threadsafe(self._connection.close)

    # Inside: all of it runs in the event loop.

    async def _question(self, work: Coroutine[Any, Any, T]) -> T:
        async with self._connection.channel("question"):
            return await work

    async def _exchange(self, message: BinaryIO, kind: Kind) -> BinaryIO:
        taken = tempfile.SpooledTemporaryFile(8 << 20)  # noqa: SIM115 - the caller closes it
        try:
            async with self._connection.channel(kind):
                session = await self._session()
                with _closing_unless_done(session, self._host.name) as done:
                    whole = await self._ask(session, message, taken)
                    if whole:
                        done.append(True)
                        self._idle.append(session)
        except BaseException:
            taken.close()
            raise
        taken.seek(0)
        return taken  # type: ignore[return-value]

    async def _ask(self, session: Process, message: BinaryIO, taken: "tempfile.SpooledTemporaryFile[bytes]") -> bool:
        """Send a message and take the answer; whether the session can be asked again."""
        has_body = False
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it answered early: an error
            while data := message.read(_CHUNK):
                has_body = has_body or b"\n" in data[:-1]
                session.stdin.write(data)
                self.sent += len(data)
                await asyncio.wait_for(session.stdin.drain(), _PATIENCE_S)
        head = await asyncio.wait_for(session.stdout.readline(), _PATIENCE_S)
        taken.write(head)
        try:
            told = json.loads(head)
            left = int(told["body"])
        except (ValueError, KeyError, TypeError):
            raise FarGone(f"{self._host.name}: the agent ended without an answer") from None
        while left > 0:
            data = await asyncio.wait_for(session.stdout.read(min(left, _CHUNK)), _PATIENCE_S)
            if not data:
                raise FarGone(f"{self._host.name}: the connection broke in the middle of an answer")
            taken.write(data)
            self.taken += len(data)
            left -= len(data)
        return not ("error" in told and has_body)

    async def _session(self) -> Process:
        while self._idle:
            session = self._idle.pop()
            if not session.is_closing() and not session.stdout.at_eof():
                return session
        base = await self._found()
        for placed in (False, True):
            folder = self._folder(base)
            session = await self._connection.process(_line(base.python, "-I", "-S", f"{folder}/session.py", base.root))
            with _closing_unless_done(session, self._host.name) as done:
                if await asyncio.wait_for(_greeted(session), _START_S):
                    done.append(True)
                    return session
                said = (await session.stderr.read(2000)).decode(errors="replace").strip()
                if placed:
                    raise FarGone(f"{self._host.name}: the agent did not start: {said[-300:] or 'it said nothing'}")
            await self._place(base)
        raise AssertionError("the loop above returns or raises")

    async def _found(self) -> Base:
        if self._base is None:
            wanted = self._host.python or "auto"
            names = _PYTHONS if wanted == "auto" else shlex.quote(wanted)
            if wanted.startswith("~/"):
                names = f'"$HOME"/{shlex.quote(wanted[2:])}'
            probe = f'"$p" -I -S -c {shlex.quote(_PROBE)}'
            script = f'for p in {names}; do command -v "$p" >/dev/null 2>&1 && {probe} && exit 0; done; exit 3'
            answer = await self._connection.run(_line("sh", "-c", script))
            found = [each for each in marked(answer.out) if isinstance(each, list) and len(each) == 3]
            if answer.code != 0:
                raise Refused(_no_python(self._host.name, wanted, found, answer), "install one or set executor.python")
            if not found:
                said = f"{self._host.name}: what our commands print there does not come back ({answer.said()})"
                raise Refused(
                    said, f"see what `ssh {self._host.host} echo hello` prints, and mend what the login shell does"
                )
            python, version, home = found[-1]
            root = self._host.root or "~/.overnight"
            root = f"{home}/{root[2:]}" if root.startswith("~/") else root if root.startswith("/") else f"{home}/{root}"
            self._base = Base(python, ".".join(map(str, version)), root)
        return self._base

    async def _place(self, base: Base) -> None:
        command = _line(base.python, "-I", "-S", "-c", _PLACE, self._folder(base))
        answer = await self._connection.run(command, self._packed)
        if answer.code != 0:
            raise FarGone(f"{self._host.name}: our programs could not be placed in {base.root}: {answer.said()}")

    async def _program(self, name: str, arguments: list[str], data: bytes) -> dict[str, Any]:
        base = await self._found()
        command = _line(base.python, "-I", "-S", f"{self._folder(base)}/{name}", *arguments)
        answer = await self._connection.run(command, data)
        if answer.code == 2 and not answer.out:  # the interpreter's own code for a program that is not there
            await self._place(base)
            answer = await self._connection.run(command, data)
        found = [each for each in marked(answer.out) if isinstance(each, dict)]
        if answer.code != 0 or not found:
            raise FarGone(f"{self._host.name}: {name} failed: {answer.said()}")
        return found[-1]

    def _folder(self, base: Base) -> str:
        return f"{base.root}/far/{self._digest[:16]}"


def packed() -> tuple[bytes, str]:
    """The far side's programs as a tar.gz, and their digest; the same programs give the same digest."""
    raw, found = io.BytesIO(), hashlib.sha256()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for package in (overnight_jobs.far, overnight_executor_ssh.far):
            for path in sorted(Path(package.__file__ or "").parent.glob("[!_]*.py")):
                content = path.read_bytes()
                info = tarfile.TarInfo(path.name)
                info.size, info.mode = len(content), 0o644
                tar.addfile(info, io.BytesIO(content))
                found.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return raw.getvalue(), found.hexdigest()


@contextlib.contextmanager
def _closing_unless_done(session: Process, name: str) -> Iterator[list[bool]]:
    """Close a session unless what is yielded says that it can be used again; time is up as FarGone."""
    done: list[bool] = []
    try:
        yield done
    except TimeoutError:
        raise FarGone(f"{name}: no answer for too long") from None
    except (asyncssh.Error, OSError, EOFError) as error:
        raise FarGone(f"{name}: {error or type(error).__name__}") from None
    finally:
        if not done:
            session.close()


async def _greeted(session: Process) -> bool:
    """Whether the session's first line came, after whatever the login shell says."""
    heard = 0
    while line := await session.stdout.readline():
        heard += len(line)
        if _GREETING_START in line:
            return True
        if heard > _MOST_NOISE:
            return False
    return False


def _line(*words: str) -> str:
    return " ".join(shlex.quote(word) for word in words)


def marked(out: bytes) -> list[Any]:
    """What our programs said behind the mark, a value for each line that has any. A login shell may have
    left a line of its own open before it."""
    found = []
    for line in out.decode(errors="replace").splitlines():
        for mark in re.finditer(MARK, line):
            with contextlib.suppress(ValueError):
                found.append(json.loads(line[mark.end() :]))
                break
    return found


def _no_python(name: str, wanted: str, found: list[Any], answer: Answer) -> str:
    if found:
        versions = ", ".join(f"{python} is {'.'.join(map(str, version))}" for python, version, _ in found)
        return f"{name}: Python 3.11 or newer is needed, and {versions}"
    if wanted == "auto":
        return f"{name}: no Python 3.11 or newer was found there ({answer.said()})"
    return f"{name}: executor.python is {wanted}, which does not run there: {answer.said()}"
