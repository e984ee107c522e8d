"""A loopback W&B server: enough GraphQL, file stream and uploads for the real client 0.31."""

import gzip
import json
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from wandb_run import LoggedRun

ENTITY = {"id": "e1", "name": "me"}
PROJECT = {"id": "p1", "internalId": "1", "entity": {"name": "me"}}


@dataclass
class ServedRun(LoggedRun):
    """What the server knows of one run."""

    files: dict[str, bytes] = field(default_factory=dict)


class WandbServer:
    """`with WandbServer() as server:` … `server.environment`, `server.runs["id"].history`.

    fail: status codes of the next replies. fail_always: of every reply. delay_s: before each reply.
    unknown: requests that this server does not know: tests assert that there are none.
    """

    def __init__(self) -> None:
        self.runs: dict[str, ServedRun] = {}
        self.unknown: list[Any] = []
        self.fail: list[int] = []
        self.fail_always: int | None = None
        self.failed = 0
        self.delay_s = 0.0
        self._artifacts: dict[str, dict[str, Any]] = {}
        self._collections: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._lock = threading.RLock()

    def __enter__(self) -> "WandbServer":
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                """Nothing: tests read standard error."""

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                time.sleep(server.delay_s)
                code, reply = server.reply(self.command, self.path, body)
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names of http.server

        class Listener(ThreadingHTTPServer):
            def handle_error(self, request: Any, address: Any) -> None:
                """Nothing: a client that hangs up is not this server's business."""

        self._httpd = Listener(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self.environment = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": "local-" + "0" * 40, "WANDB_ENTITY": "me"}
        threading.Thread(target=self._httpd.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()

    def reply(self, verb: str, path: str, body: bytes) -> tuple[int, bytes]:
        """The status and body that a request gets."""
        with self._lock:
            code = self.fail.pop(0) if self.fail else self.fail_always
            if code is not None:
                self.failed += 1
                return code, b"{}"
            if path == "/graphql":
                return 200, json.dumps({"data": self._graphql(json.loads(body))}).encode()
            if found := re.match(r"/files/[^/]*/[^/]*/([^/]*)/file_stream", path):
                self._stream(self._run(found[1]), json.loads(body))
            elif path.startswith("/up/"):
                _, _, owner, name = path.split("/", 3)
                files = self._artifacts[owner[1:]]["files"] if owner.startswith("@") else self._run(owner).files
                files[name] = body
            elif not path.startswith("/sdk/"):
                self.unknown.append((verb, path))
            return 200, b"{}"

    def _run(self, run_id: str) -> ServedRun:
        return self.runs.setdefault(run_id, ServedRun(run_id))

    def _stream(self, run: ServedRun, message: dict[str, Any]) -> None:
        for name, chunk in (message.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                run.history += [json.loads(row) for row in chunk["content"]]
            elif name == "wandb-summary.json":
                run.summary = json.loads(chunk["content"][-1])
        run.preempting = run.preempting or bool(message.get("preempting"))
        if "exitcode" in message:
            run.exit_code = message["exitcode"]

    def _graphql(self, request: dict[str, Any]) -> Any:
        found = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
        operation = request.get("operationName") or (found[1] if found else "")
        answer = getattr(self, f"_on_{operation}", None)
        if answer is None:
            self.unknown.append((operation, request.get("variables")))
            return None
        return answer(request.get("variables") or {})

    def _on_Viewer(self, _: Any) -> Any:  # noqa: N802 - GraphQL's name, as below
        viewer = {"id": "u1", "entity": "me", "username": "me", "email": "", "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer}

    def _on_ServerFeaturesQuery(self, _: Any) -> Any:  # noqa: N802
        return {"serverInfo": {"features": []}}

    def _on_OrganizationCoreWeaveOrganizationID(self, _: Any) -> Any:  # noqa: N802
        return {"entity": None}

    def _on_RunStoppedStatus(self, _: Any) -> Any:  # noqa: N802
        return {"project": {"run": {"stopped": False}}}

    def _on_UpsertBucket(self, values: Any) -> Any:  # noqa: N802
        new = values["name"] not in self.runs
        run, config = self._run(values["name"]), json.loads(values.get("config") or "{}")
        run.config.update({key: item["value"] for key, item in config.items() if key != "_wandb"})
        for mine, theirs in {
            "project": "project",
            "group": "groupName",
            "job_type": "jobType",
            "name": "displayName",
            "tags": "tags",
        }.items():
            if values.get(theirs):
                setattr(run, mine, values[theirs])
        bucket = {"id": f"run-{run.id}", "name": run.id, "displayName": run.name or run.id, "description": None}
        bucket |= {"config": json.dumps(config), "sweepName": None, "historyLineCount": len(run.history)}
        bucket |= {"project": {"id": "p1", "name": run.project, "entity": ENTITY}}
        return {"upsertBucket": {"inserted": new, "bucket": bucket}}

    def _on_RunResumeStatus(self, values: Any) -> Any:  # noqa: N802
        run, bucket = self.runs.get(values["name"]), None
        if run is not None and (run.history or run.exit_code is not None):
            bucket = {"id": f"run-{run.id}", "name": run.id, "displayName": run.name, "tags": run.tags}
            bucket |= {"summaryMetrics": json.dumps(run.summary), "logLineCount": 0, "eventsLineCount": 0}
            bucket |= {"historyLineCount": len(run.history), "eventsTail": json.dumps(['{"_runtime": 1}'])}
            bucket |= {"historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]])}
            bucket |= {"config": json.dumps({key: {"value": value} for key, value in run.config.items()})}
            bucket |= {"wandbConfig": json.dumps({"t": 1})}
        return {"model": {"id": "p1", "name": values["project"], "entity": ENTITY, "bucket": bucket}}

    def _on_CreateRunFiles(self, values: Any) -> Any:  # noqa: N802
        files = [{"name": name, "uploadUrl": f"{self.url}/up/{values['run']}/{name}"} for name in values["files"]]
        return {"createRunFiles": {"runID": f"run-{values['run']}", "uploadHeaders": [], "files": files}}

    def _on_ArtifactType(self, _: Any) -> Any:  # noqa: N802
        return {"project": None}

    def _on_CreateArtifact(self, values: Any) -> Any:  # noqa: N802
        wanted = values["input"]
        collection = self._collections[wanted["artifactCollectionName"]]
        latest = {"latestArtifact": {"id": collection[-1]["id"]} if collection else None}
        aliases = [item["alias"] for item in wanted.get("aliases") or []]
        for older in collection:
            older["aliases"] = [alias for alias in older["aliases"] if alias not in aliases]
        same = [item for item in collection if item["digest"] == wanted["digest"]]
        if same:  # as W&B does: the same content is no new version
            same[0]["aliases"] += aliases
            artifact = same[0]
        else:
            artifact = {"id": f"art{len(self._artifacts)}", "name": wanted["artifactCollectionName"], "files": {}}
            artifact |= {"type": wanted["artifactTypeName"], "version": len(collection), "aliases": aliases}
            artifact |= {"metadata": json.loads(wanted.get("metadata") or "{}"), "digest": wanted["digest"]}
            artifact |= {"state": "PENDING"}
            collection.append(artifact)
            self._artifacts[artifact["id"]] = artifact
            if wanted.get("runName"):
                self._run(wanted["runName"]).artifacts.append(artifact)
        reply = {"id": artifact["id"], "state": artifact["state"], "artifactSequence": latest}
        return {"createArtifact": {"artifact": reply}}

    def _on_CreateArtifactManifest(self, values: Any) -> Any:  # noqa: N802
        return {"createArtifactManifest": self._manifest(values["artifactID"], values["name"])}

    def _on_UpdateArtifactManifest(self, values: Any) -> Any:  # noqa: N802
        owner = values["artifactManifestID"].removeprefix("man-")
        return {"updateArtifactManifest": self._manifest(owner, "wandb_manifest.json")}

    def _manifest(self, owner: str, name: str) -> Any:
        place = {"id": f"f-{owner}", "uploadUrl": f"{self.url}/up/@{owner}/{name}", "uploadHeaders": []}
        return {"artifactManifest": {"id": f"man-{owner}", "file": place}}

    def _on_CreateArtifactFiles(self, values: Any) -> Any:  # noqa: N802
        edges = []
        for file in (values.get("input") or values)["artifactFiles"]:
            owner, name = file["artifactID"], file["name"]
            node = {"storagePath": f"store/{owner}/{name}", "uploadUrl": f"{self.url}/up/@{owner}/{name}"}
            node |= {"uploadHeaders": [], "uploadMultipartUrls": None, "artifact": {"id": owner}}
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _on_CommitArtifact(self, values: Any) -> Any:  # noqa: N802
        artifact = self._artifacts[values["artifactID"]]
        artifact["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": artifact["id"], "digest": artifact["digest"]}}}
