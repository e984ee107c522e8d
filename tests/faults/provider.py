"""A small on-demand cloud on loopback that misbehaves by script, for studies that must survive it.

`python provider.py FOLDER PRICE LAG_S` prints its port and serves until its stdin closes. Machines
are real process trees; each is billed by the second from its creation until it is deleted, lost or
past its time-to-live, which this side enforces. The admin endpoints (the tests' own) give the
script and read the ledger of every machine ever made.
"""

import contextlib
import hashlib
import json
import random
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from cloud_machine import Machine  # beside this file: it is run as a program


class Cloud:
    """All machines, the price list, and the script of misbehaviour."""

    def __init__(self, folder, price, lag_s):
        self.folder, self.lag_s, self.key = folder, lag_s, "key-1"
        self.prices, self.stock = {"cpu": price}, {"cpu": None}
        self.machines, self.rules, self.fates, self.injected, self.idempotent = [], [], [], 0, True
        self.lock = threading.Lock()

    def rule(self, method, path, token):
        """The first rule of the script that fits this request, used up once."""
        with self.lock:
            for rule in self.rules:
                if rule.get("times", 1) <= 0 or not re.fullmatch(rule["match"], f"{method} {path}"):
                    continue
                if not re.search(rule.get("about", ""), token):
                    continue
                if rule.get("skip", 0) > 0:
                    rule["skip"] -= 1
                    continue
                if "chance" in rule:
                    dice = rule.setdefault("dice", random.Random(rule.get("seed", 0)))
                    if dice.random() >= rule["chance"]:
                        continue
                rule["times"] = rule.get("times", 1) - 1
                self.injected += 1
                return rule
        return {}

    def fate(self, token):
        """What is to become of a new machine."""
        for fate in self.fates:
            if fate.get("times", 1) > 0 and re.search(fate.get("about", ""), token):
                fate["times"] = fate.get("times", 1) - 1
                self.injected += 1
                return fate
        return {}

    def create(self, order):
        """(status, answer) of a create; the client's key makes it idempotent."""
        with self.lock:
            same = [
                m for m in self.machines if self.idempotent and order.get("key") and m.order.get("key") == order["key"]
            ]
            if same:
                return (200, same[-1].shown()) if same[-1].gone is None else (410, {"id": same[-1].id})
            hardware = order["hardware"]
            if self.prices[hardware] > order["max_usd_per_hour"] * 1.000001:
                return 409, {"code": "price", "message": f"{hardware} costs ${self.prices[hardware]:g} an hour now"}
            if self.stock[hardware] == 0:
                self.injected += 1
                return 409, {"code": "stock-out", "message": f"no {hardware} machine is left"}
            number = len(self.machines) + 1
            folder = self.folder / f"m-{number:04d}"
            machine = Machine(number, order, self.prices[hardware], folder, self.fate(order["token"]))
            self.machines.append(machine)
            return 200, machine.shown()

    def get(self, machine_id):
        return next((m for m in self.machines if m.id == machine_id and m.gone is None), None)

    def listed(self, tag):
        """What the lagging index shows."""
        old = time.monotonic() - self.lag_s
        return [m.shown() for m in self.machines if m.order["tag"] == tag and m.gone is None and m.made <= old]

    def admin(self, what, body):
        """The tests' own door."""
        with self.lock:
            if body.pop("behave", False):
                self.rules.clear()
            for name, value in body.items():
                current = getattr(self, name)
                current.extend(value) if name in ("rules", "fates") else (
                    current.update(value) if isinstance(current, dict) else setattr(self, name, value)
                )
        return {"machines": [m.facts() for m in self.machines], "injected": self.injected}


class Door(BaseHTTPRequestHandler):
    """The cloud's HTTP interface."""

    protocol_version = "HTTP/1.1"
    cloud: Cloud

    def do_GET(self):
        self.serve("GET")

    def do_POST(self):
        self.serve("POST")

    def do_DELETE(self):
        self.serve("DELETE")

    def serve(self, method):
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if parts.path == "/admin":
            return self.answer(200, self.cloud.admin(method, json.loads(body or b"{}")))
        words = parts.path.strip("/").split("/")
        machine = self.cloud.get(words[1]) if len(words) > 1 else None
        order = json.loads(body) if method == "POST" else {}
        token = machine.order["token"] if machine else order.get("token", "")
        rule = self.cloud.rule(method, parts.path, token)
        if self.headers.get("Authorization") != f"Bearer {self.cloud.key}":
            self.cloud.injected += 1
            return self.answer(401, {"message": "the key is not valid (any more)"})
        match rule.get("do"):
            case "answer":
                return self.answer(rule["status"], {"message": "try again"}, rule.get("headers"))
            case "hang":
                time.sleep(rule["s"])
                return self.drop()
        status, answer = self.act(method, words, machine, order, query)
        match rule.get("do"):
            case "lose":
                return self.drop()
            case "lose_500":
                return self.answer(500, {"message": "internal error"})
            case "late":
                time.sleep(rule["s"])
            case "garbage":
                return self.answer(200, b'{"id": "m-9999", "sta')
            case "cut":
                return self.answer(status, answer, cut=True)
        return self.answer(status, answer)

    def act(self, method, words, machine, order, query):
        """(status, answer) of a request, by the book."""
        cloud = self.cloud
        match method, words:
            case "GET", ["offers"]:
                most = float(query.get("gpus", 0))
                kinds = [] if most else sorted(cloud.prices)
                return 200, [
                    {"hardware": k, "usd_per_hour": cloud.prices[k], "available": cloud.stock[k]} for k in kinds
                ]
            case "POST", ["machines"]:
                return cloud.create(order)
            case "GET", ["machines"]:
                return 200, cloud.listed(query["tag"])
        if machine is None:
            return 404, {"message": "no such machine"}
        match method, words[2:]:
            case "GET", []:
                return 200, machine.shown()
            case "DELETE", []:
                if machine.deletes_refused > 0:
                    machine.deletes_refused -= 1
                    return 500, {"message": "the machine cannot be deleted just now"}
                return (200, {}) if machine.delete(float(query["grace_s"])) else (202, {})
            case "GET", ["artefacts"]:
                return 200, machine.artefacts()
            case "GET", ["logs"]:
                path = machine.folder / ("log.txt" if query["stream"] == "log" else "metrics.jsonl")
                return 200, path.read_bytes()[int(query["offset"]) :][: 1 << 20] if path.exists() else b""
        return 404, {"message": "no such page"}

    def answer(self, status, content, headers=None, *, cut=False):
        """One write for headers and body: two would wait for each other's acknowledgement."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        lines = {"Content-Length": len(body), "X-Sha256": hashlib.sha256(body).hexdigest(), **(headers or {})}
        head = f"HTTP/1.1 {status} -\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        sent = body[: len(body) // 2] if cut else body
        with contextlib.suppress(OSError):
            self.wfile.write(head.encode() + sent)
        self.close_connection = cut or self.close_connection

    def drop(self):
        """No answer at all."""
        self.close_connection = True

    def log_message(self, *args):
        """Silent: the test reads the ledger."""


def main():
    """Serve until the test that started it goes away."""
    folder, price, lag_s = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    Door.cloud = Cloud(folder.resolve(), price, lag_s)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    for machine in Door.cloud.machines:
        machine.vanish()


if __name__ == "__main__":
    main()
