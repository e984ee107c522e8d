"""The few channels of a connection: questions find one while files travel, and only they count as silence."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hosts import Sshd
from ssh_jobs import eventually, job, token, until

from core.contracts import Executor
from overnight_executor_ssh.background import loop, spawn
from overnight_executor_ssh.config import SshConfig
from overnight_executor_ssh.environment import Readiness
from overnight_executor_ssh.host import Host
from overnight_executor_ssh.transport import SshTransport
from overnight_jobs.far_side import FarGone

_NOBODY = SshConfig(hosts=["me@127.0.0.1:1"], connect_timeout_s=2.0)


@contextlib.contextmanager
def held(host: Host, kind: Any, count: int) -> Iterator[list[int]]:
    """So many that want a channel and keep it; yields those that have one."""
    release, having = asyncio.Event(), []

    async def hold(number: int) -> None:
        async with host.transport._connection.channel(kind):
            having.append(number)
            await release.wait()

    tasks = [asyncio.run_coroutine_threadsafe(hold(number), loop()) for number in range(count)]
    try:
        yield having
    finally:
        loop().call_soon_threadsafe(release.set)
        for task in tasks:
            task.result(10)


def test_transfers_leave_channels_to_questions() -> None:
    host = Host(_NOBODY.hosts[0], _NOBODY)
    with held(host, "transfer", 10) as transfers:
        assert eventually(lambda: len(transfers) == 4, 5)
        assert host.silent_s() == 0
        with held(host, "question", 1) as question:
            assert eventually(lambda: len(question) == 1, 5)
            assert host.silent_s() > 0
        assert len(transfers) == 4
    assert len(transfers) == 10


def test_a_question_that_waits_for_a_channel_is_no_silence() -> None:
    host = Host(_NOBODY.hosts[0], _NOBODY)
    with held(host, "work", 8) as working:
        assert eventually(lambda: len(working) == 8, 5)
        asked = spawn(host.ask, lambda far: far.poll([]))
        time.sleep(0.3)
        assert not asked.done()
        assert host.silent_s() == 0
    with pytest.raises(FarGone):
        asked.result(10)
    assert host.silent_s() > 0


def test_what_is_known_of_an_environment_is_no_sign_of_life() -> None:
    host = Host(_NOBODY.hosts[0], _NOBODY)
    with pytest.raises(FarGone):
        host.ask(lambda far: far.poll([]))
    host.environment._last = Readiness("ready", "/opt/python")
    assert host.ready().python == "/opt/python"
    assert host.silent_s() > 0
    assert host.trouble


def test_a_job_is_not_lost_while_files_take_long(
    make: Callable[..., Executor], sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = make(sshd.keys, hosts=[sshd.name], root=str(tmp_path / "far"), silence_s=1.5)
    handle = executor.submit(job("import time; time.sleep(600)"), token(1))
    until(executor, handle, "running")
    arrive, answer = asyncio.Event(), SshTransport._ask

    async def slow(self: SshTransport, session: Any, message: BinaryIO, taken: Any) -> bool:
        fetches = b'"pack"' in message.read(200)
        message.seek(0)
        if fetches:
            await arrive.wait()
        return await answer(self, session, message, taken)

    monkeypatch.setattr(SshTransport, "_ask", slow)
    fetches = [spawn(executor.fetch, handle, tmp_path / f"out{number}") for number in range(8)]
    try:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert executor.poll([handle])[0].state == "running"
            time.sleep(0.1)
        assert not any(fetch.done() for fetch in fetches)
    finally:
        loop().call_soon_threadsafe(arrive.set)
    for fetch in fetches:
        fetch.result(60)
