"""The server: an agent over HTTP on a machine that was rented for one job, until its time is up.

`python -I -S serve.py PORT ROOT` with OVERNIGHT_SECRET and OVERNIGHT_UNTIL (unix seconds) in its
environment. POST / takes a sealed message and answers with one; GET /health answers anybody, with
the boot that requests have to name. At OVERNIGHT_UNTIL, or LINGER_S after its last job ended and
nobody has asked since, it ends its jobs and itself; and its own death, whatever the cause, ends
them. Standard library only.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import seal  # beside this file, not in a package: -I -S has no site-packages
from agent import Agent, answer_one
from keeper import short_root

_CHUNK = 1 << 20
_BEAT_S = 1.0


class Door(BaseHTTPRequestHandler):
    """The HTTP interface of one agent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is several small writes
    timeout = 120.0
    agent: Agent
    secret: str
    boot: str
    nonces: seal.Nonces
    last: float

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/health"):
            return self.reply(200, b"ok")
        return self.reply(404, b"there is nothing here")

    def do_POST(self) -> None:
        nonce, digest = self.headers.get(seal.NONCE, ""), self.headers.get(seal.DIGEST, "")
        length = int(self.headers.get("Content-Length") or 0)
        given = self.headers.get(seal.SEAL)
        if not seal.intact(given, self.secret, "request", self.boot, nonce, digest) or not self.nonces.fresh(nonce):
            self.close_connection = True  # the body of a stranger is not read
            return self.reply(403, b"the seal is not ours, or not for this boot")
        with tempfile.SpooledTemporaryFile(8 * _CHUNK) as body:
            found, left = hashlib.sha256(), length
            while left > 0 and (data := self.rfile.read(min(left, _CHUNK))):
                found.update(data)
                body.write(data)
                left -= len(data)
                Door.last = time.monotonic()
            if left or found.hexdigest() != digest:
                self.close_connection = True
                return self.reply(400, b"the message was cut or changed on its way")
            body.seek(0)
            return self.answer(body, nonce)

    def answer(self, body: Any, nonce: str) -> None:
        with contextlib.suppress(OSError), Answer(self, nonce) as answer:  # who asked may be gone, and asks again
            answer_one(self.agent.answer, body, answer)  # type: ignore[arg-type]

    def reply(self, status: int, text: bytes) -> None:
        with contextlib.suppress(OSError):
            self.head(status, {"Content-Length": str(len(text))})
            self.wfile.write(text)

    def head(self, status: int, headers: dict[str, str]) -> None:
        lines = {seal.BOOT: self.boot, **headers}
        text = f"HTTP/1.1 {status} -\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the container's own log says what the job says."""


class Answer:
    """The body of an answer, sent while it is written. Until its first byte there are beats: whoever asked,
    or stands between, waits as long as the work takes, and still hears at once of a machine that is gone."""

    def __init__(self, door: Door, nonce: str) -> None:
        self._door, self._nonce = door, nonce
        self._found = hashlib.sha256()
        self._begun = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Answer":
        self._closing, self._door.close_connection = self._door.close_connection, True  # until it is whole
        self._door.head(200, {"Transfer-Encoding": "chunked", "X-Accel-Buffering": "no"})
        self._beats.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._begin()
        if kind is None:
            digest = self._found.hexdigest()
            self._send(seal.seal(self._door.secret, "answer", self._door.boot, self._nonce, digest).encode())
            self._door.wfile.write(b"0\r\n\r\n")
            self._door.close_connection = self._closing

    def write(self, data: bytes) -> None:
        """Send some of it. Raises OSError."""
        self._begin()
        self._found.update(data)
        self._send(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def _begin(self) -> None:
        self._begun.set()
        self._beats.join()

    def _beat(self) -> None:
        with contextlib.suppress(OSError):
            while not self._begun.wait(_BEAT_S):
                self._send(seal.BEAT)

    def _send(self, data: bytes) -> None:
        self._door.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        Door.last = time.monotonic()


def main() -> int:
    """Serve until the machine's time is up."""
    port, root = int(sys.argv[1]), short_root(sys.argv[2])
    until = float(os.environ["OVERNIGHT_UNTIL"])
    linger = float(os.environ.get("OVERNIGHT_LINGER_S", "1800"))
    Door.secret = os.environ.pop("OVERNIGHT_SECRET")
    Door.boot = secrets.token_hex(8)
    # Jobs are this server's alone: on a machine that others share, it must neither see nor end theirs.
    Door.agent = Agent(root, tied=True, jobs=f"served/{Door.boot}")
    Door.nonces, Door.last = seal.Nonces(), time.monotonic()
    keeper = Door.agent.keeper
    server = ThreadingHTTPServer((os.environ.get("OVERNIGHT_BIND", "0.0.0.0"), port), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"overnight: serving on port {server.server_address[1]}", flush=True)
    print(f"overnight: boot {Door.boot}", flush=True)
    while time.time() < until and time.monotonic() < max(Door.last, busy_until(keeper)) + linger:
        time.sleep(min(1.0, max(0.05, until - time.time())))
    print("overnight: time is up", flush=True)
    keeper.kill_everything()
    shutil.rmtree(keeper.jobs, ignore_errors=True)
    if os.path.basename(here := os.path.dirname(os.path.abspath(__file__))).startswith("overnight-far-"):
        shutil.rmtree(here, ignore_errors=True)  # where the bootstrap unpacked this program
    return 0


def busy_until(keeper: Any) -> float:
    """Now, in monotonic seconds, while a job runs; else long ago."""
    running = keeper.jobs.is_dir() and any(
        keeper.observe(place.name)["state"] == "running" for place in keeper.jobs.iterdir()
    )
    return time.monotonic() if running else 0.0


if __name__ == "__main__":
    sys.exit(main())
