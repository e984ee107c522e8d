"""A stand-in of the hub's HTTP API on the loopback, for the real huggingface_hub client.

Models only, one branch, LFS by the basic transfer. Misbehaves on request: see HubServer.fault.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_goodtokengoodtoken"
CUT = 0  # as a status: the connection ends without an answer
LOST = 1  # as a status: the request is carried out, then the connection ends without an answer


@dataclass
class Repo:
    """files: path → content at the tip. commits: paths changed by each. sha: name of the tip."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    lfs: set[str] = field(default_factory=set)
    commits: list[list[str]] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()

    def oid(self, path: str) -> str | None:
        """Name of the content as the hub gives it: sha256 of an LFS file, else git's of the blob."""
        content = self.files.get(path)
        if content is None:
            return None
        if path in self.lfs:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class HubServer:
    """What the hub holds and was asked. url: endpoint. owners: whom the token may write for. chunk:
    larger LFS files are asked for in parts of so many bytes, which `parts` holds until they are
    whole. refused_card: why no card is taken, if none is."""

    url: str = ""
    owners: tuple[str, ...] = ("me",)
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    chunk: int | None = None
    refused_card: str = ""
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    faults: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock)

    def fault(self, where: str, status: int, times: int = 1, **headers: str) -> None:
        """Answer the next requests whose "METHOD path" holds `where` with this status, CUT or LOST."""
        self.faults += [(where, status, {k.replace("_", "-"): v for k, v in headers.items()})] * times

    def asked(self, where: str) -> int:
        """How many requests held these words."""
        return sum(where in one for one in self.requests)

    def take_fault(self, line: str) -> tuple[str, int, dict[str, str]] | None:
        with self.lock:
            found = next((one for one in self.faults if one[0] in line), None)
            if found:
                self.faults.remove(found)
            return found


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Serve until the block ends."""
    hub = HubServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    lost = False

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        line = f"{self.command} {path}"
        with self.hub.lock:
            self.hub.requests.append(line)
        fault = self.hub.take_fault(line)
        if fault and fault[1] == CUT:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = self._body()
        if fault and fault[1] == LOST:
            self.lost = True
        elif fault:
            self._answer(fault[1], {"error": f"made up {fault[1]}"}, fault[2])
            return
        with self.hub.lock:
            self._route(path, body)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _route(self, path: str, body: bytes) -> None:
        if found := re.fullmatch(r"/objects/(\w+)/(\d+|complete)", path):
            self._part(found[1], found[2], body)
            return
        if path.startswith("/objects/"):  # what is put there was signed by the batch before, as with S3
            self._put(path.removeprefix("/objects/"), body)
            return
        if path == "/api/validate-yaml":
            errors = [{"message": self.hub.refused_card}] if self.hub.refused_card else []
            self._answer(400 if errors else 200, {"errors": errors, "warnings": []})
            return
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid username or password."})
        elif path == "/api/whoami-v2":
            self._answer(200, {"type": "user", "name": self.hub.owners[0], "orgs": []})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(preupload|commit|revision|tree)/[^/]+)?", path):
            self._of_repo(found[1], found[2] or "revision", body)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/(batch|verify)", path):
            self._of_repo(found[1], found[2], body)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self._of_repo(found[1], "resolve", found[2].encode())
        else:
            self._answer(404, {"error": f"the stand-in knows no {path}"})

    def _of_repo(self, name: str, action: str, body: bytes) -> None:
        repo = self.hub.repos.get(name)
        if repo is None:
            self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        else:
            getattr(self, f"_{action}")(name, repo, body)

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization'] or self.hub.owners[0]}/{wanted['name']}"
        url = f"{self.hub.url}/{name}"
        if name in self.hub.repos:
            self._answer(409, {"error": "You already created this model repo", "url": url})
        elif name.partition("/")[0] not in self.hub.owners:
            self._answer(403, {"error": "You don't have the rights to create a model under this namespace"})
        else:
            private = wanted.get("visibility") == "private" or wanted.get("private") is True
            self.hub.repos[name] = Repo(private, {".gitattributes": b"*.safetensors filter=lfs\n"})
            self._answer(200, {"url": url, "name": name})

    def _revision(self, name: str, repo: Repo, _: bytes) -> None:
        siblings = [{"rfilename": path} for path in sorted(repo.files)]
        known = {"id": name, "modelId": name, "sha": repo.sha, "private": repo.private, "siblings": siblings}
        self._answer(200, {**known, "tags": [], "downloads": 0, "likes": 0})

    def _tree(self, _: str, repo: Repo, __: bytes) -> None:
        entries = []
        for path, content in sorted(repo.files.items()):
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            lfs = {"lfs": {"oid": repo.oid(path), "size": len(content), "pointerSize": 130}} if path in repo.lfs else {}
            entries.append({"type": "file", "path": path, "oid": blob, "size": len(content), **lfs})
        self._answer(200, entries)

    def _preupload(self, _: str, repo: Repo, body: bytes) -> None:
        files = []
        for one in json.loads(body)["files"]:
            mode = "lfs" if one["path"].endswith((".safetensors", ".bin")) else "regular"
            files.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": False, "oid": repo.oid(one["path"])})
        self._answer(200, {"files": files})

    def _batch(self, name: str, _: Repo, body: bytes) -> None:
        objects = []
        for one in json.loads(body)["objects"]:
            place = f"{self.hub.url}/objects/{one['oid']}"
            upload: dict[str, Any] = {"href": place}
            if self.hub.chunk is not None and one["size"] > self.hub.chunk:
                count = -(-one["size"] // self.hub.chunk)
                places = {str(number): f"{place}/{number}" for number in range(1, count + 1)}
                upload = {"href": f"{place}/complete", "header": {"chunk_size": str(self.hub.chunk), **places}}
            verify = {"href": f"{self.hub.url}/{name}.git/info/lfs/objects/verify"}
            new = one["oid"] not in self.hub.objects
            objects.append({**one, **({"actions": {"upload": upload, "verify": verify}} if new else {})})
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _put(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self._answer(400, {"error": "the content is not what its name says"})
            return
        self.hub.objects[oid] = body
        self._answer(200, {})

    def _part(self, oid: str, which: str, body: bytes) -> None:
        parts = self.hub.parts.setdefault(oid, {})
        if which != "complete":
            parts[int(which)] = body
            self._answer(200, {}, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})  # as S3 names a part
            return
        named = [(one["partNumber"], one["etag"]) for one in json.loads(body)["parts"]]
        there = [(number, f'"{hashlib.md5(part).hexdigest()}"') for number, part in sorted(parts.items())]
        if named != there:
            self._answer(400, {"error": "these are not the parts that were sent"})
        else:
            self._put(oid, b"".join(part for _, part in sorted(parts.items())))

    def _verify(self, _: str, __: Repo, body: bytes) -> None:
        wanted = json.loads(body)
        found = self.hub.objects.get(wanted["oid"])
        whole = found is not None and len(found) == wanted["size"]
        self._answer(200 if whole else 404, {} if whole else {"error": "no such object"})

    def _commit(self, name: str, repo: Repo, body: bytes) -> None:
        files, lfs, changed = dict(repo.files), set(repo.lfs), []
        for line in body.splitlines():
            one = json.loads(line)
            value = one["value"]
            if one["key"] == "header":
                continue
            path = value["path"]
            changed.append(path)
            lfs.discard(path)
            if one["key"] == "file":
                files[path] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile" and value["oid"] in self.hub.objects:
                files[path] = self.hub.objects[value["oid"]]
                lfs.add(path)
            elif one["key"] == "deletedFile" and path in files:
                del files[path]
            else:
                self._answer(400, {"error": f"cannot commit {one['key']} {path}"})
                return
        repo.files, repo.lfs = files, lfs
        repo.commits.append(changed)
        self._answer(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{repo.sha}", "commitOid": repo.sha})

    def _resolve(self, _: str, repo: Repo, path: bytes) -> None:
        content = repo.files.get(path.decode())
        if content is None:
            self._answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        self._send(200, content, {"X-Repo-Commit": repo.sha, "ETag": f'"{repo.oid(path.decode())}"'})

    def _answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        if self.lost:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
