"""Tests of the agent behind HTTP: a real server process, sealed messages, real jobs."""

import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core import Job, Resources
from overnight_jobs import bootstrap, orders
from overnight_jobs.far import files, seal
from overnight_jobs.far_side import FarBusy, FarError, FarGone, FarSide
from overnight_jobs.http import HttpTransport, OtherBoot
from overnight_jobs.manifest import Hasher

_SECRET = "s3cret"
_GOOD = "open('result.json', 'w').write('{}')"


class Server:
    """A machine's server as a process of its own, started by the bootstrap as a provider would."""

    def __init__(self, root: Path, **env: str) -> None:
        self.root = root
        self.env = {
            "OVERNIGHT_SECRET": _SECRET,
            "OVERNIGHT_UNTIL": str(time.time() + 300),
            "OVERNIGHT_BIND": "127.0.0.1",
        }
        self.env |= env
        self.start()

    def start(self) -> None:
        command = [sys.executable, *bootstrap.command(0, str(self.root))[1:]]
        self.process = subprocess.Popen(
            command, env={"PATH": os.environ["PATH"], **self.env}, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split()[-1])
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running server; its jobs are gone after the test."""
    made = Server(tmp_path / "far")
    yield made
    far = FarSide(HttpTransport(made.url, _SECRET))
    if made.process.poll() is None:
        far.reap("j", ())
    made.stop()


@pytest.fixture
def far(server: Server) -> FarSide:
    """A client of it."""
    return FarSide(HttpTransport(server.url, _SECRET))


def job(code: str, **more: Any) -> Job:
    """A job that runs Python code."""
    return Job(**{"token": "j/1/train/a1", "owner": "j", "command": ("python", "-c", code), "deadline_s": 60.0, **more})


def start(far: FarSide, order: Job) -> str:
    """Bring a job's files and start it; returns its slug."""
    entries = Hasher().manifest(order.files)
    far.send(entries.values())
    told = orders.order(order, entries, code=None, python=sys.executable)
    far.start(told)
    return str(told["slug"])


def until(far: FarSide, slug: str, *states: str) -> dict[str, Any]:
    """Poll until one of the states."""
    end = time.monotonic() + 30
    while (seen := far.poll([slug])[0])["state"] not in states:
        assert time.monotonic() < end, seen
        time.sleep(0.02)
    return seen


def test_a_job_is_started_once_watched_fetched_and_deleted(far: FarSide, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("alpha")
    (tmp_path / "in" / "run.sh").write_text("")
    (tmp_path / "in" / "run.sh").chmod(0o755)
    code = (
        "import os; open('starts', 'a').write('x');"
        "print(open('given/a.txt').read(), os.access('given/run.sh', os.X_OK));"
        f"os.makedirs('checkpoint'); open('checkpoint/w', 'wb').write(b'w' * 3_000_000); {_GOOD}"
    )
    order = job(code, files={"given": tmp_path / "in"}, outputs=("result.json", "checkpoint", "starts"))
    slug = start(far, order)
    assert start(far, order) == slug
    assert until(far, slug, "succeeded", "failed")["state"] == "succeeded"
    assert far.read(slug, "log", 0) == b"alpha True\n"
    assert far.read(slug, "log", 6) == b"True\n"
    found = far.fetch(slug, tmp_path / "out")
    assert set(found.files) == {"result.json", "checkpoint/w", "starts", "log.txt"}
    assert (tmp_path / "out" / "starts").read_text() == "x"
    assert set(far.fetch(slug, tmp_path / "part", ["checkpoint"]).files) == {"checkpoint/w", "log.txt"}
    assert far.cancel(slug, order.token, 0.0)
    assert not far.there(slug)
    assert far.cancel(slug, order.token, 0.0), "absent is success"


def test_files_travel_once(far: FarSide, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(os.urandom(100_000))
    entries = Hasher().manifest({"data": tmp_path / "data"}).values()
    assert far.send(entries) == 100_000
    assert far.send(entries) == 0


def test_what_changes_on_its_way_is_refused(far: FarSide, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"as it was hashed")
    entries = list(Hasher().manifest({"data": tmp_path / "data"}).values())
    (tmp_path / "data").write_bytes(b"as it was sent!!")
    with pytest.raises(FarError, match="changed on its way"):
        far.send(entries)


def test_a_job_cannot_start_without_its_files(far: FarSide, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"never sent")
    order = job(_GOOD, files={"data": tmp_path / "data"})
    told = orders.order(order, Hasher().manifest(order.files), code=None, python=sys.executable)
    with pytest.raises(FarError):
        far.start(told)
    assert not far.there(told["slug"])


def test_a_gpu_that_is_not_there_is_said(far: FarSide) -> None:
    with pytest.raises(FarBusy, match="1 GPUs are needed, 0 of 0 are free"):
        start(far, job(_GOOD, resources=Resources(gpus=1)))


@pytest.mark.parametrize("secret", ["wrong", ""])
def test_strangers_are_refused(server: Server, secret: str) -> None:
    with pytest.raises(FarGone, match="403"):
        FarSide(HttpTransport(server.url, secret)).facts()


def test_a_recorded_message_cannot_be_sent_again(server: Server) -> None:
    boot = httpx.get(server.url + "/health").headers[seal.BOOT]
    body = b'{"verb": "facts", "body": 0}\n'
    digest = hashlib.sha256(body).hexdigest()

    def status(nonce: str, content: bytes = body) -> int:
        sealed = seal.seal(_SECRET, "request", boot, nonce, digest)
        headers = {seal.NONCE: nonce, seal.DIGEST: digest, seal.SEAL: sealed}
        return httpx.post(server.url + "/", headers=headers, content=content).status_code

    nonce = seal.nonce()
    assert status(nonce) == 200
    assert status(nonce) == 403
    assert status(seal.nonce(), body + b" ") == 400
    assert status(f"{time.time_ns() - 700 * 10**9:x}-old") == 403
    assert status("n1") == 403, "of no time"


def test_a_long_job_runs_out_of_no_nonces_and_none_of_them_is_taken_twice() -> None:
    nonces, second = seal.Nonces(), 10**9
    for number in range(150_000):  # two a second, almost a day
        assert nonces.fresh(f"{number * second // 2:x}-{number}")
    assert len(nonces) <= 1201
    newest = number * second // 2
    for late in range(number):
        assert not nonces.fresh(f"{late * second // 2:x}-{late}")
    assert nonces.fresh(f"{newest - 599 * second:x}-late"), "others may have overtaken it"
    assert not nonces.fresh(f"{newest - 601 * second:x}-too-late")


def test_work_that_takes_longer_than_the_timeout_is_waited_for(server: Server) -> None:
    far = FarSide(HttpTransport(server.url, _SECRET, timeout_s=3.0))
    server.root.mkdir(exist_ok=True)
    with (server.root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # every start waits for it
        timer = threading.Timer(4.5, fcntl.flock, (lock, fcntl.LOCK_UN))
        timer.start()
        began = time.monotonic()
        slug = start(far, job(_GOOD))
        assert time.monotonic() - began > 3.0
        timer.join()
    assert until(far, slug, "succeeded")


def _answered(change: Callable[[bytes], bytes]) -> Callable[[httpx.Request], httpx.Response]:
    """A server that answers with a sealed message of 4 MB, which is changed on its way."""

    def answer(request: httpx.Request) -> httpx.Response:
        body = b"x" * 4_000_000
        message = b'{"body": %d}\n' % len(body) + body
        nonce, digest = request.headers[seal.NONCE], hashlib.sha256(message).hexdigest()
        sealed = seal.seal(_SECRET, "answer", "b", nonce, digest).encode()
        return httpx.Response(200, content=change(seal.BEAT * 3 + message + sealed))

    return answer


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        (lambda sent: sent, True),
        (lambda sent: sent[:2_000_000] + b"y" + sent[2_000_001:], False),
        (lambda sent: sent[:-100], False),
        (lambda sent: sent[:-64], False),
        (lambda sent: sent[:-1] + b"\xff", False),
        (lambda sent: seal.BEAT * 100, False),
        (lambda sent: b"", False),
    ],
)
def test_an_answer_is_believed_by_the_seal_at_its_end(change: Callable[[bytes], bytes], whole: bool) -> None:
    transport = HttpTransport("http://machine", _SECRET, "b")
    transport._client = httpx.Client(transport=httpx.MockTransport(_answered(change)))
    if whole:
        assert FarSide(transport).read("slug", "log", 0) == b"x" * 4_000_000
    else:
        with pytest.raises(FarGone, match="cut or changed"):
            FarSide(transport).read("slug", "log", 0)


def test_a_large_message_has_time_to_be_passed_on(tmp_path: Path) -> None:
    waits = []

    def refuse(request: httpx.Request) -> httpx.Response:
        waits.append(request.extensions["timeout"]["read"])
        return httpx.Response(403)

    transport = HttpTransport("http://machine", _SECRET, "b", timeout_s=30.0)
    transport._client = httpx.Client(transport=httpx.MockTransport(refuse))
    for size in (10, 20_000_000):
        (tmp_path / "message").write_bytes(bytes(size))
        with (tmp_path / "message").open("rb") as message, pytest.raises(FarGone):
            transport.exchange(message)
    assert waits == pytest.approx([30.0, 32.0], abs=0.1)


def test_a_machine_that_starts_again_is_another_and_its_jobs_are_gone(server: Server, far: FarSide) -> None:
    slug = start(far, job("import time; time.sleep(600)"))
    until(far, slug, "running")
    server.stop()
    server.start()
    boot = HttpTransport(server.url, _SECRET).hello()
    with pytest.raises(OtherBoot):
        FarSide(HttpTransport(server.url, _SECRET, "0" * len(boot))).facts()
    assert FarSide(HttpTransport(server.url, _SECRET)).poll([slug])[0]["state"] == "lost"


def _alive(token: str) -> list[int]:
    from overnight_jobs.far import processes
    from overnight_jobs.far.environment import JOB

    return processes.marked(lambda env: env.get(JOB) == token)


def wait_for(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_at_the_end_of_its_time_the_machine_ends_its_jobs_and_itself(tmp_path: Path) -> None:
    server = Server(tmp_path / "far", OVERNIGHT_UNTIL=str(time.time() + 3))
    far = FarSide(HttpTransport(server.url, _SECRET))
    start(far, job("import os, time; os.fork() or os.setsid(); time.sleep(600)", token="j/time/up"))
    assert server.process.wait(20) == 0
    assert wait_for(lambda: not _alive("j/time/up"))


def test_nobody_asking_ends_the_machine_once_its_job_is_over(tmp_path: Path) -> None:
    server = Server(tmp_path / "far", OVERNIGHT_LINGER_S="1")
    far = FarSide(HttpTransport(server.url, _SECRET))
    start(far, job(f"import time; time.sleep(2); {_GOOD}", token="j/linger"))
    time.sleep(1.5)
    assert server.process.poll() is None, "its job still runs"
    assert server.process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_servers_death_is_the_end_of_its_jobs(server: Server, far: FarSide, number: int) -> None:
    token = f"j/tied/{number:d}"
    code = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork() or os.setsid();"
    slug = start(far, job(f"{code} print('up', flush=True); time.sleep(600)", token=token))
    assert wait_for(lambda: far.read(slug, "log", 0).count(b"up") == 2)
    server.process.send_signal(number)
    server.process.wait(10)
    assert wait_for(lambda: not _alive(token))


def test_servers_that_share_a_machine_do_not_touch_each_others_jobs(server: Server, far: FarSide) -> None:
    slug = start(far, job("import time; time.sleep(600)"))
    until(far, slug, "running")
    other = Server(server.root, OVERNIGHT_UNTIL=str(time.time() + 2))
    assert FarSide(HttpTransport(other.url, _SECRET)).poll([slug])[0]["state"] == "lost"
    assert other.process.wait(20) == 0
    assert far.poll([slug])[0]["state"] == "running"


def test_a_look_while_a_job_starts_does_not_take_it_for_lost(server: Server, far: FarSide) -> None:
    """The server looks at its jobs every second, and a client that got no answer in time asks at once."""
    over = threading.Event()

    def look(slug: str) -> None:
        other = FarSide(HttpTransport(server.url, _SECRET))
        while not over.is_set():
            other.poll([slug])

    told = [job("import time; time.sleep(600)", token=f"j/look/{number}") for number in range(10)]
    lookers = [threading.Thread(target=look, args=(files.slug(each.token),)) for each in told]
    for each in lookers:
        each.start()
    slugs = [start(far, each) for each in told]
    time.sleep(0.5)
    over.set()
    for each in lookers:
        each.join()
    assert {seen["state"] for seen in far.poll(slugs)} == {"running"}


def test_a_connection_that_was_closed_meanwhile_is_made_again(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        closed = []

        def between() -> None:
            """A proxy that closes its first connection unanswered, as idle ones are closed."""
            while True:
                try:
                    here, _ = listening.accept()
                except OSError:
                    return  # the test is over
                head = here.recv(1 << 16)
                if b"POST" in head[:4] and not closed:
                    closed.append(here.close())
                    continue
                while b"\r\n\r\n" not in head or (head.startswith(b"POST") and not head.endswith(b"}\n")):
                    head += here.recv(1 << 16)
                with socket.create_connection(("127.0.0.1", server.port)) as there:
                    there.sendall(head.replace(b"Connection: keep-alive", b"Connection: close"))
                    while data := there.recv(1 << 16):
                        here.sendall(data)
                here.close()

        threading.Thread(target=between, daemon=True).start()
        port = listening.getsockname()[1]
        assert FarSide(HttpTransport(f"http://127.0.0.1:{port}", _SECRET)).facts()["protocol"] == 1
        assert closed
