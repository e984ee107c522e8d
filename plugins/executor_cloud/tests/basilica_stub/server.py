"""A loopback Basilica whose machines are real, which bills by the second and misbehaves by script.

`python server.py FOLDER [options]` prints its port and serves until its stdin closes; then, or when it
is killed, every machine dies with it. README.md beside this file has the options and the admin door.
"""

import argparse
import contextlib
import json
import os
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import proxy
import wire
from cloud import Cloud
from machines import stamp

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Door(BaseHTTPRequestHandler):
    """The HTTP interface: the API, /d/ID/... of the machines, and the tests' /admin."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cloud: Cloud

    def do_GET(self):
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query))
        words = parts.path.strip("/").split("/")
        if words[0] == "d" and len(words) > 1:
            return self.pass_on(words[1], parts)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if words == ["admin"]:
            return self.answer(200, self.cloud.admin(json.loads(body or b"{}")))
        if words == ["health"]:
            return self.answer(200, self.health())
        if refusal := self.cloud.allowed(self.headers.get("Authorization")):
            return self.answer(401, refusal)
        return self.serve(parts.path, words, body)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815 (the names that http.server calls)

    def serve(self, path, words, body):
        """One request of the API, as the script wants it."""
        try:
            order = json.loads(body) if body else {}
        except json.JSONDecodeError as why:
            return self.answer(400, wire.error(400, str(why)))
        machine = self.cloud.get(words[1]) if words[0] == "deployments" and len(words) > 1 else None
        rule = self.rule(path, machine.name if machine else order.get("instanceName", ""))
        if self.refused(rule):
            return None
        if rule.get("do") == "change":
            with self.cloud.lock:
                self.cloud.change(rule["change"])
        logs = machine is not None and words[2:] == ["logs"]
        status, answer = (200, b"") if logs else self.act(words, machine, order)
        match rule.get("do"):
            case "lose":
                return self.drop()
            case "lose_500":
                status = rule.get("status", 500)
                return self.answer(status, wire.error(status, rule.get("message")))
            case "late":
                time.sleep(rule["s"])
            case "garbage":
                return self.answer(status, rule.get("body", '{"instanceName": "0000", "sta').encode())
        cut_after = rule.get("after", 0) if rule.get("do") == "cut" else None
        if logs:
            return self.logs(machine, cut_after)
        return self.answer(status, answer, cut_after=cut_after)

    def rule(self, path, name):
        """The rule for this request, which is counted."""
        call = f"{self.command} {_UUID.sub('ID', path)}"
        with self.cloud.lock:
            self.cloud.calls[call] = self.cloud.calls.get(call, 0) + 1
        return self.cloud.script.rule(f"{self.command} {path}", name)

    def refused(self, rule):
        """Whether the script keeps this request from being acted on."""
        match rule.get("do"):
            case "answer":
                status = rule["status"]
                error = wire.error(status, rule.get("message"), rule.get("code"))
                self.answer(status, rule["body"].encode() if "body" in rule else error, rule.get("headers"))
            case "stock_out":
                self.answer(503, wire.error(503, rule.get("message", wire.NO_NODES)))
            case "hang":
                time.sleep(rule["s"])
                self.drop()
            case _:
                return False
        return True

    def act(self, words, machine, order):
        """(status, answer) of a request, by the book."""
        cloud = self.cloud
        match self.command, words:
            case "POST", ["deployments"]:
                return cloud.create(order)
            case "GET", ["deployments"]:
                shown = [wire.summary(m, cloud.base) for m in cloud.listed()]
                return 200, {"deployments": shown, "total": len(shown)}
            case "GET", ["v2", "secure-cloud", "gpu-prices"]:
                with cloud.lock:
                    return 200, wire.offers(cloud.prices, cloud.left, self.query)
            case "GET", ["billing", "balance"]:
                return 200, {"balance": f"{cloud.left_usd():.6f}", "last_updated": stamp()}
            case "GET", ["billing", "usage"]:
                return 200, wire.usage(cloud.machines, self.query)
        if machine is None:
            known = words[0] == "deployments" and len(words) > 1
            return 404, wire.error(404, f"Deployment {words[1]} not found" if known else "no such page")
        match self.command, words[2:]:
            case "GET", []:
                return 200, wire.deployment(machine, cloud.base)
            case "GET", ["events"]:
                return 200, {"events": machine.events[-int(self.query.get("limit", 100)) :]}
            case "DELETE", []:
                if machine.deletes_refused > 0:
                    machine.deletes_refused -= 1
                    cloud.script.injected += 1
                    return 500, wire.error(500, "Internal server error: failed to delete the deployment")
                machine.delete()
                text = f"Deployment {machine.id} deletion initiated"
                return 200, {"instanceName": machine.id, "state": "Terminating", "message": text}
        return 404, wire.error(404, "no such page")

    def logs(self, machine, cut_after):
        """The log of the present container as server-sent events; `follow` lasts until it ends."""
        run, path, follow = machine.runs, machine.log(), self.query.get("follow") == "true"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        offset = sum(map(len, lines))
        tail = int(self.query.get("tail", len(lines)))
        blocks = [self.event(line) for line in lines[len(lines) - min(tail, len(lines)) :]]
        if not follow:
            return self.answer(200, b"".join(blocks), kind="text/event-stream", cut_after=cut_after)
        self.wfile.write(b"HTTP/1.1 200 -\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent, over = 0, False
        with contextlib.suppress(OSError):
            while True:
                for block in blocks:
                    part = block if cut_after is None else block[: cut_after - sent]
                    sent += len(part)
                    if part:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                    if cut_after is not None and sent >= cut_after:
                        return self.drop()
                if over:
                    return self.wfile.write(b"0\r\n\r\n")
                time.sleep(0.02)
                runs = machine.gone is None and machine.stage in ("running", "terminating")
                over = not runs or machine.runs != run
                fresh = _rest(path, offset)
                fresh = fresh if over else fresh[: fresh.rfind(b"\n") + 1]
                offset += len(fresh)
                blocks = [self.event(line) for line in fresh.splitlines(keepends=True)]
        return self.drop()

    def event(self, line):
        text = line.decode(errors="replace").rstrip("\n")
        return f"data: {json.dumps({'timestamp': stamp(), 'stream': 'stdout', 'message': text})}\n\n".encode()

    def health(self):
        return {
            "status": "healthy", "version": "stub", "timestamp": stamp(),
            "healthy_validators": 1, "total_validators": 1,
        }  # fmt: skip

    def pass_on(self, machine_id, parts):
        """A request for the program in a machine; a private deployment wants its share token."""
        machine = next((m for m in self.cloud.machines if m.id == machine_id and m.gone is None), None)
        rule = self.rule(parts.path, machine.name if machine else "")
        if self.refused(rule):
            self.close_connection = True  # whatever body there was is unread
            return None
        if machine is None or (machine.share_token and self.query.get("token") != machine.share_token):
            self.close_connection = True
            return self.answer(404 if machine is None else 401, wire.error(404 if machine is None else 401))
        if rule.get("do") == "late":
            time.sleep(rule["s"])
        rest = parts.path.removeprefix(f"/d/{machine_id}") or "/"
        self.close_connection = True
        return proxy.forward(self, machine, f"{rest}?{parts.query}" if parts.query else rest, rule)

    def answer(self, status, content, headers=None, *, kind="application/json", cut_after=None):
        """One write for headers and body: two would wait for each other's acknowledgement."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        fields = {"Content-Type": kind, "Content-Length": len(body), **(headers or {})}
        if self.close_connection:
            fields["Connection"] = "close"
        head = f"HTTP/1.1 {status} -\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        sent = b"" if self.command == "HEAD" else body if cut_after is None else body[: cut_after or len(body) // 2]
        with contextlib.suppress(OSError):
            self.wfile.write(head.encode() + sent)
        self.close_connection = cut_after is not None or self.close_connection

    def drop(self):
        """No (more) answer."""
        self.close_connection = True

    def log_message(self, *args):
        """Silent: the test reads the ledger."""


def _rest(path, offset):
    """What is in a file from an offset on."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(offset)
        return file.read()
    return b""


def options():
    """The command line."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("folder", type=Path)
    parse.add_argument("--price", action="append", default=[], metavar="MODEL=USD", help="an hour and GPU; A100:spot=")
    parse.add_argument("--token", default="basilica_stub")
    for name, value in {"lag-s": 0.2, "gone-lag-s": 0.0, "boot-s": 0.2, "backoff-s": 2.0, "grace-s": 0.3}.items():
        parse.add_argument(f"--{name}", type=float, default=value)
    parse.add_argument("--balance", type=float, default=1_000_000.0)
    parse.add_argument("--min-balance", type=float, default=10.0, help="below it a create is answered 402")
    parse.add_argument("--image-env", default="PATH,PYTHONPATH,OVERNIGHT_CACHE,HOME", help="what every image provides")
    parse.add_argument("--seed", type=int, default=0)
    parse.add_argument("--no-namespaces", dest="namespaces", action="store_false")
    found = parse.parse_args()
    found.price = {"A100": 1.29, "A100:spot": 0.71, "cpu": 0.05} | {
        model: float(usd) for model, _, usd in (text.partition("=") for text in found.price)
    }
    found.image_env = [name for name in found.image_env.split(",") if name]
    return found


def main():
    """Serve until the test that started it goes away."""
    found = options()
    Door.cloud = cloud = Cloud(found.folder.resolve(), found)
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    cloud.base = f"http://127.0.0.1:{server.server_address[1]}"
    if not cloud.house.cage.networks:
        print("no network namespaces here: machines get OVERNIGHT_PORT_OVERRIDE to listen on", file=sys.stderr)
    if not cloud.house.cage.trees:
        print("no process namespaces here: processes that leave their folder may survive a machine", file=sys.stderr)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    cloud.close()
    os._exit(0)


if __name__ == "__main__":
    main()
