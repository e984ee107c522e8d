"""A loopback server that speaks OpenAI's chat-completions protocol and misbehaves by script.

Other packages' tests load it by its path (plugins/policy_llm/tests/conftest.py).
"""

import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Say:
    """One scripted answer.

    content: the assistant's text; a function makes it of the request. status: an error instead.
    retry_after: that header's value. hang: seconds before anything is sent. drip: seconds between
    the answer's bytes. drop: close without an answer. cut: close in the middle of the body.
    raw: the body as it is. finish: the finish_reason. usage: whether tokens are told.
    """

    content: str | Callable[[dict[str, Any]], str] = ""
    status: int = 200
    retry_after: str | None = None
    hang: float = 0.0
    drip: float = 0.0
    drop: bool = False
    cut: bool = False
    raw: bytes | None = None
    finish: str = "stop"
    usage: bool = True


@dataclass
class Stub:
    """The server. script: answers in order; then `always` for every further request.

    requests: the bodies that came; headers: their headers; times: when (monotonic seconds).
    Usage is 1000 tokens in, 200 out for every answer.
    """

    script: Sequence[Say] = ()
    always: Say | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def __enter__(self) -> "Stub":
        self._left, self._over = list(self.script), threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.requests.append(body)
                stub.headers.append(dict(self.headers))
                stub.times.append(time.monotonic())
                say = stub._left.pop(0) if stub._left else stub.always or Say(valid)
                try:
                    stub._answer(self, say, body)
                except OSError:
                    self.close_connection = True  # the client was tired of waiting

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def prompts(self) -> list[str]:
        """The text of all messages of each request."""
        return ["\n".join(message["content"] for message in body["messages"]) for body in self.requests]

    def _answer(self, handler: BaseHTTPRequestHandler, say: Say, body: dict[str, Any]) -> None:
        self._over.wait(say.hang)
        if say.drop:
            return self._hang_up(handler)
        out = say.raw if say.raw is not None else self._body(say, body)
        handler.send_response(say.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(out)))
        if say.retry_after is not None:
            handler.send_header("Retry-After", say.retry_after)
        handler.end_headers()
        if say.cut:
            handler.wfile.write(out[: len(out) // 2])
            return self._hang_up(handler)
        if say.drip:
            for i in range(len(out)):
                handler.wfile.write(out[i : i + 1])
                handler.wfile.flush()
                if self._over.wait(say.drip):
                    return self._hang_up(handler)
        else:
            handler.wfile.write(out)
        return None

    def _body(self, say: Say, body: dict[str, Any]) -> bytes:
        if say.status != 200:
            return json.dumps({"error": {"message": "scripted", "type": "scripted", "code": say.status}}).encode()
        content = say.content(body) if callable(say.content) else say.content
        message = {"role": "assistant", "content": content}
        usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
        return json.dumps(
            {
                "id": "stub",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "finish_reason": say.finish, "message": message}],
                **({"usage": usage} if say.usage else {}),
            }
        ).encode()

    @staticmethod
    def _hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True


def valid(body: dict[str, Any]) -> str:
    """An answer that the request's JSON schema allows: always the same for the same request."""
    wanted = body["response_format"]["json_schema"]["schema"]
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps(_drawn(wanted, random.Random(digest)))


def _drawn(schema: dict[str, Any], rng: random.Random) -> Any:
    if "enum" in schema:
        return rng.choice(schema["enum"])
    match schema["type"]:
        case "object":
            return {name: _drawn(part, rng) for name, part in schema["properties"].items()}
        case "array":
            return [_drawn(schema["items"], rng) for _ in range(schema.get("maxItems", 1))]
        case "integer":
            return rng.randint(schema["minimum"], schema["maximum"])
        case "number":
            return rng.uniform(schema["minimum"], schema["maximum"])
        case _:
            return f"because of {rng.randrange(10**6)}"
