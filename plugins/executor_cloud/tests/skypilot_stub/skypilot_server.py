"""SkyPilot's API server on loopback: answers as version 0.14.1 did (recorded.json), and keeps clusters and requests."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

REAL: dict[str, Any] = json.loads((Path(__file__).parent / "recorded.json").read_text())


def answer(value: Any) -> dict[str, Any]:
    """The result of a request that went well."""
    return {"http": 200, "body": {**REAL["down"]["body"], "return_value": json.dumps(value)}}


def failure(kind: str, message: str, boom: str = "gAROLg==") -> dict[str, Any]:
    """The result of a request that ended in one of SkyPilot's exceptions."""
    detail = dict(REAL["down_absent"]["body"]["detail"])
    return {
        "http": 500,
        "body": {"detail": {**detail, "error": json.dumps({"object": boom, "type": kind, "message": message})}},
    }


class Server:
    """An API server; what it is to do wrong is set on it."""

    def __init__(self) -> None:
        self.clusters: dict[str, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.said: dict[str, dict[str, Any]] = {}  # path -> what to answer instead
        self.lose: set[str] = set()  # paths that are carried out, and whose answer is lost
        self.raw: dict[str, tuple[int, bytes]] = {}  # path -> what a proxy answers instead
        self.launching = False  # launches take for ever
        self.launch_fails: dict[str, Any] | None = None
        self.holds = False  # a failed launch leaves its cluster
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet: 40 ms less

            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                self.answer({})

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def answer(self, body: dict[str, Any]) -> None:
                url = urlsplit(self.path)
                status, text, request_id = server.respond(url.path, parse_qs(url.query), body)
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                if request_id:
                    self.send_header("x-skypilot-request-id", request_id)
                self.end_headers()
                self.wfile.write(text)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def respond(self, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, bytes, str]:
        if path in self.raw:
            return (*self.raw[path], "")
        if path == "/api/health":
            return 200, json.dumps(REAL["health"]).encode(), "h"
        if path == "/api/get":
            request_id = query["request_id"][0]
            while self.results[request_id] == {"hold": True}:
                time.sleep(0.01)
            found = self.results[request_id]
            return found["http"], json.dumps(found["body"]).encode(), request_id
        if path == "/api/status":
            cluster = query.get("cluster_name", [None])[0]
            going = [row for row in self.rows if row["status"] == "RUNNING"]
            rows = [row for row in self.rows if row["cluster_name"] == cluster] if cluster else going
            return 200, json.dumps(rows).encode(), "s"
        if path == "/api/stream":
            return 200, REAL["table"].encode(), "t"
        self.calls.append((path, body))
        request_id = f"r{len(self.calls)}"
        self.results[request_id] = self.said.get(path) or self.do(path, body, request_id)
        return (0, b"", "") if path in self.lose else (200, b"null", request_id)

    def do(self, path: str, body: dict[str, Any], request_id: str) -> dict[str, Any]:
        if path == "/enabled_clouds":
            return REAL["enabled"]
        if path == "/list_accelerators":
            wrong = body.get("name_filter") not in (None, "^A100(-|$)") or body["quantity_filter"] != 1
            return answer({}) if wrong else REAL[f"list_{body['clouds'][0]}"]
        if path == "/slurm_gpu_availability":
            return REAL["slurm_gpus"]
        if path == "/optimize":
            resources = json.loads(body["dag"])["resources"]
            no_ports = resources["infra"].split("/")[0] in ("verda", "slurm") and "ports" in resources
            return REAL["optimize_no_ports"] if no_ports else REAL["optimize_yes"]
        if path == "/launch":
            return self.launch(body, request_id)
        if path == "/status":
            wanted = body["cluster_names"]
            return answer([c for c in self.clusters.values() if wanted is None or c["name"] in wanted])
        if path == "/cost_report":
            rows = json.loads(REAL["cost"]["body"]["return_value"])
            return answer([{**rows[0], "cluster_hash": h, "total_cost": 0.5} for h in body["cluster_hashes"]])
        if path == "/endpoints":
            return answer({str(body["port"]): "10.1.2.3:30007"})
        if path == "/api/cancel":
            for row in self.rows:
                if row["request_id"] in body["request_ids"]:
                    row["status"] = "CANCELLED"
            return answer(body["request_ids"])
        assert path == "/down"
        return answer(None) if self.clusters.pop(body["cluster_name"], None) else REAL["down_absent"]

    def launch(self, body: dict[str, Any], request_id: str) -> dict[str, Any]:
        name = body["cluster_name"]
        status = "RUNNING" if self.launching else "FAILED" if self.launch_fails else "SUCCEEDED"
        self.rows.append({**REAL["requests_done"][0], "request_id": request_id, "cluster_name": name, "status": status})
        if not self.launch_fails or self.holds:
            template = REAL["status_up" if status == "SUCCEEDED" else "status_init"]
            record = json.loads(template["body"]["return_value"])[0]
            labels = json.loads(body["task"])["resources"]["labels"]
            self.clusters[name] = {**record, "name": name, "cluster_hash": f"h-{name}", "labels": labels}
        if self.launching:
            return {"hold": True}
        return self.launch_fails or answer({"job_id": 1, "handle": "gAROLg=="})

    def count(self, path: str) -> int:
        return sum(called == path for called, _ in self.calls)
