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
_MOST_NONCES = 100_000


class Door(BaseHTTPRequestHandler):
    """The HTTP interface of one agent."""

    protocol_version = "HTTP/1.1"
    timeout = 120.0
    agent: Agent
    secret: str
    boot: str
    seen: dict[str, None]
    lock: threading.Lock
    last: float

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/health"):
            return self.reply(200, b"ok", {})
        return self.reply(404, b"there is nothing here", {})

    def do_POST(self) -> None:
        nonce, digest = self.headers.get(seal.NONCE, ""), self.headers.get(seal.DIGEST, "")
        length = int(self.headers.get("Content-Length") or 0)
        given = self.headers.get(seal.SEAL)
        if not seal.intact(given, self.secret, "request", self.boot, nonce, digest) or not self.fresh(nonce):
            self.close_connection = True  # the body of a stranger is not read
            return self.reply(403, b"the seal is not ours, or not for this boot", {})
        with tempfile.SpooledTemporaryFile(8 * _CHUNK) as body, tempfile.SpooledTemporaryFile(8 * _CHUNK) as answer:
            found, left = hashlib.sha256(), length
            while left > 0 and (data := self.rfile.read(min(left, _CHUNK))):
                found.update(data)
                body.write(data)
                left -= len(data)
            if left or found.hexdigest() != digest:
                self.close_connection = True
                return self.reply(400, b"the message was cut or changed on its way", {})
            body.seek(0)
            answer_one(self.agent.answer, body, answer)  # type: ignore[arg-type]
            Door.last = time.monotonic()
            return self.send(answer, nonce)

    def fresh(self, nonce: str) -> bool:
        with self.lock:
            if nonce in self.seen or len(self.seen) >= _MOST_NONCES:
                return False
            self.seen[nonce] = None
            return True

    def send(self, answer: Any, nonce: str) -> None:
        found, size = hashlib.sha256(), answer.tell()
        answer.seek(0)
        while data := answer.read(_CHUNK):
            found.update(data)
        answer.seek(0)
        digest = found.hexdigest()
        sealed = seal.seal(self.secret, "answer", self.boot, nonce, digest)
        with contextlib.suppress(OSError):  # who asked is gone, and asks again
            self.head(200, size, {seal.DIGEST: digest, seal.SEAL: sealed})
            while data := answer.read(_CHUNK):
                self.wfile.write(data)

    def reply(self, status: int, text: bytes, headers: dict[str, str]) -> None:
        with contextlib.suppress(OSError):
            self.head(status, len(text), headers)
            self.wfile.write(text)

    def head(self, status: int, size: int, headers: dict[str, str]) -> None:
        lines = {"Content-Length": str(size), seal.BOOT: self.boot, **headers}
        text = f"HTTP/1.1 {status} -\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the container's own log says what the job says."""


def main() -> int:
    """Serve until the machine's time is up."""
    port, root = int(sys.argv[1]), short_root(sys.argv[2])
    until = float(os.environ["OVERNIGHT_UNTIL"])
    linger = float(os.environ.get("OVERNIGHT_LINGER_S", "1800"))
    Door.secret = os.environ.pop("OVERNIGHT_SECRET")
    Door.boot = secrets.token_hex(8)
    # Jobs are this server's alone: on a machine that others share, it must neither see nor end theirs.
    Door.agent = Agent(root, tied=True, jobs=f"served/{Door.boot}")
    Door.seen, Door.lock, Door.last = {}, threading.Lock(), time.monotonic()
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
