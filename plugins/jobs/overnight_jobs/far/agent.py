"""The agent: one request in, one answer out, over any pair of streams; the far side of every remote executor.

`python -I -S agent.py ROOT` reads a request on its standard input and answers on its standard
output. A message is one line of JSON, then as many bytes of body as its "body" says. Standard
library only.
"""

import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import files  # beside this file, not in a package: -I -S has no site-packages
import install
import store
from keeper import Busy, Keeper, short_root

PROTOCOL = 1
_CHUNK = 1 << 20


class Agent:
    """Answers requests about the jobs of one root folder."""

    def __init__(self, root: Path, tied: bool = False, jobs: str = "jobs") -> None:
        self.keeper = Keeper(root, tied, jobs)

    def answer(self, request: dict[str, Any], body: BinaryIO) -> tuple[dict[str, Any], BinaryIO | None]:
        """The answer to one request: a JSON object and perhaps a file, which the caller closes."""
        verb = getattr(self, f"do_{request.get('verb')}", None)
        if verb is None:
            return {"error": "protocol", "said": f"no verb {request.get('verb')!r} in protocol {PROTOCOL}"}, None
        try:
            found: dict[str, Any] | tuple[dict[str, Any], BinaryIO] = verb(request, body)
        except Busy as error:
            return {"error": "busy", "said": str(error)}, None
        except (ValueError, KeyError, TypeError, OSError) as error:
            return {"error": "failed", "said": f"{type(error).__name__}: {error}"}, None
        return found if isinstance(found, tuple) else (found, None)

    def do_facts(self, request: dict[str, Any], body: BinaryIO) -> dict[str, Any]:
        return self.keeper.facts() | {"protocol": PROTOCOL}

    def do_environment(self, request: dict[str, Any], body: BinaryIO) -> dict[str, Any]:
        return install.ensure(request["order"] | {"root": str(self.keeper.root)})

    def do_missing(self, request: dict[str, Any], body: BinaryIO) -> dict[str, Any]:
        return {"missing": self.keeper.store.missing(request["digests"])}

    def do_put(self, request: dict[str, Any], body: BinaryIO) -> dict[str, Any]:
        for digest, size in request["blobs"]:
            self.keeper.store.put(digest, size, body)
        return {}

    def do_start(self, request: dict[str, Any], body: BinaryIO) -> dict[str, Any]:
        self.keeper.start(request["order"])
        return {}

    def do_find(self, request: dict[str, Any], body: BinaryIO) -> dict[str, Any]:
        return {"there": self.keeper.there(request["slug"])}

    def do_poll(self, request: dict[str, Any], body: BinaryIO) -> dict[str, Any]:
        return {"jobs": [self.keeper.observe(slug) for slug in request["slugs"]]}

    def do_read(self, request: dict[str, Any], body: BinaryIO) -> tuple[dict[str, Any], BinaryIO]:
        data = self.keeper.read(request["slug"], request["stream"], int(request["offset"]))
        file = tempfile.SpooledTemporaryFile(_CHUNK + 1)
        file.write(data)
        return {}, file  # type: ignore[return-value]

    def do_pack(self, request: dict[str, Any], body: BinaryIO) -> tuple[dict[str, Any], BinaryIO]:
        place = files.inside(self.keeper.jobs, request["slug"])
        outputs = request.get("names") or (files.read(place / "job.json") or {}).get("outputs", [])
        self.keeper.root.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".tar", "pack-", self.keeper.root)
        os.close(handle)
        try:
            packed = store.pack(place, outputs, Path(name))
            return {"files": packed}, open(name, "rb")
        finally:
            os.unlink(name)  # the open file lives on until it was sent

    def do_cancel(self, request: dict[str, Any], body: BinaryIO) -> dict[str, Any]:
        return {"gone": self.keeper.cancel(request["slug"], request["token"], float(request["grace_s"]))}

    def do_reap(self, request: dict[str, Any], body: BinaryIO) -> dict[str, Any]:
        return {"tokens": self.keeper.reap(request["owner"], list(request["live"]))}


def serve_streams(agent: Agent, source: BinaryIO, target: BinaryIO) -> None:
    """Answer the request on one stream on another."""
    answer_one(agent.answer, source, target)


def answer_one(
    answer: Callable[[dict[str, Any], BinaryIO], tuple[dict[str, Any], BinaryIO | None]],
    source: BinaryIO,
    target: BinaryIO,
) -> None:
    """Read one message, answer it with one message."""
    head, file = answer(json.loads(source.readline(1 << 26)), source)
    with file or io.BytesIO() as body:
        size = body.seek(0, os.SEEK_END)
        body.seek(0)
        target.write(json.dumps(head | {"body": size}).encode() + b"\n")
        while data := body.read(_CHUNK):
            target.write(data)
    target.flush()


if __name__ == "__main__":
    serve_streams(Agent(short_root(sys.argv[1])), sys.stdin.buffer, sys.stdout.buffer)
