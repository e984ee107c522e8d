"""Recorded answers of a real cluster (Ray 2.60.0, a head and one node), shortened, given by a loopback server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HEAD, NODE = (
    "82eba8dc4ea9479bba50b2974cd57c64b0ed427dbd3d6008b9d8fd25",
    "f3b65aa8943f94f6cf088b66969571a710c127f8b2daf7b68c807b11",
)
VERSION = {"version": "4", "ray_version": "2.60.0", "session_name": "session_2026-11-27_13-23-49_945506_17522"}
_NODES = [
    {
        "node_id": HEAD, "node_ip": "192.0.2.2", "is_head_node": True, "state": "ALIVE", "node_name": "192.0.2.2",
        "resources_total": {"memory": 21970771712.0, "object_store_memory": 100000000.0, "node:__internal_head__": 1.0,
                            "CPU": 1.0, "node:192.0.2.2": 1.0},
    },
    {
        "node_id": NODE, "node_ip": "192.0.2.2", "is_head_node": False, "state": "ALIVE", "node_name": "192.0.2.2",
        "resources_total": {"A100": 2.0, "memory": 21780504320.0, "object_store_memory": 100000000.0, "CPU": 3.0,
                            "node:192.0.2.2": 1.0, "GPU": 2.0, "accelerator_type:A100": 1.0},
    },
]  # fmt: skip
NODES = {"result": True, "msg": "", "data": {"result": {"total": 2, "result": _NODES, "partial_failure_warning": ""}}}
_DUPLICATE = """Traceback (most recent call last):
  File "ray/dashboard/modules/job/job_head.py", line 421, in submit_job
    resp = await job_agent_client.submit_job_internal(submit_request)
RuntimeError: Request failed with status code 500: Traceback (most recent call last):
  File "ray/dashboard/modules/job/job_manager.py", line 553, in submit_job
    raise ValueError(
ValueError: Job with submission_id {name} already exists. Please use a different submission_id.
.
"""
NODE_DEATH = (
    "Job supervisor actor died: The actor died unexpectedly before finishing this task.\n\tclass_name: JobSupervisor\n"
    "\tactor_id: 15a56038086fce418b6bc67c01000000\n\tpid: 17004\n\tname: _ray_internal_job_actor_on-1\n"
    "\tnamespace: SUPERVISOR_ACTOR_RAY_NAMESPACE\n\tip: 192.0.2.2\nThe actor died because its node has died. Node Id: "
    f"{NODE}\n\tthe actor's node was terminated unexpectedly: health check failed due to missing too many heartbeats"
)
EXITED = (
    "Job entrypoint command failed with exit code 127, last available logs (truncated to 20,000 chars):\n"
    "Running entrypoint for job on-1: OVERNIGHT_RUN=r1 exec nopython -I -S -c 'import base64'\n"
    "/bin/sh: 1: exec: nopython: not found\n"
)
STILL_PENDING = """RuntimeError: Request failed with status code 500: Traceback (most recent call last):
  File "ray/dashboard/modules/job/job_manager.py", line 655, in delete_job
RuntimeError: Attempted to delete job 'on-1', but it is in a non-terminal state PENDING.
."""


def usage(cpu: float = 0.0, gpu: float = 0.0) -> dict[str, Any]:
    """/api/cluster_status while so much of the node is in use."""
    by_node = {
        HEAD: {"CPU": [0.0, 1.0], "node:InternalHead": [0.0, 1.0], "memory": [0.0, 21970771712.0]},
        NODE: {
            "GPU": [gpu, 2.0],
            "acceleratorType:A100": [0.001, 1.0],
            "CPU": [cpu, 3.0],
            "memory": [0.0, 21780504320.0],
        },
    }
    report = {"usage": {"CPU": [cpu, 4.0]}, "resourceDemand": [], "usageByNode": by_node}
    return {"result": True, "data": {"autoscalingStatus": "", "clusterStatus": {"loadMetricsReport": report}}}


def duplicate(name: str) -> str:
    """What the second submission of an id is answered, with status 500."""
    return _DUPLICATE.format(name=name)


def job(status: str, name: str = "on-1", **more: Any) -> dict[str, Any]:
    """Details of a job."""
    there = status != "PENDING"
    return {
        "type": "SUBMISSION", "job_id": None, "submission_id": name, "driver_info": None, "status": status,
        "entrypoint": "env; sleep 100", "message": "Job is currently running.", "error_type": None,
        "start_time": 1795785864114, "end_time": None, "metadata": {"overnight_study": "on-s", "overnight_run": "r1"},
        "runtime_env": {"env_vars": {"OVERNIGHT_SECRET": "s"}}, "driver_exit_code": None,
        "driver_agent_http_address": "http://192.0.2.2:52411" if there else None,
        "driver_node_id": NODE if there else None, **more,
    }  # fmt: skip


def log(port: int | None, run: str = "r1") -> str:
    """What a job of ours has said, with the node's agent."""
    lines = [
        "2026-11-27 13:24:24,120\tINFO job_manager.py:581 -- Runtime env is setting up.",
        f"Running entrypoint for job on-1: OVERNIGHT_RUN={run} exec python3 -I -S -c 'import base64'",
    ]
    return "\n".join(lines + ([f"overnight: serving on port {port}", "overnight: boot 0b"] if port else [])) + "\n"


class Dashboard:
    """A loopback server. told: by "METHOD /path", what to answer next: (status, JSON or text), or None
    for no answer at all; the last one is given again and again. asked: what was asked, in order."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[int, Any] | None]] = {
            "GET /api/version": [(200, VERSION)],
            "GET /api/v0/nodes": [(200, NODES)],
            "GET /api/cluster_status": [(200, usage())],
        }
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        told, asked = self.told, self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                what = f"{self.command} {self.path.partition('?')[0]}"
                asked.append((what, dict(self.headers), json.loads(body) if body else None))
                answers = told.get(what, [(404, "Job does not exist")])
                found = answers.pop(0) if len(answers) > 1 else answers[0]
                if found is None:
                    self.close_connection = True
                    return
                status, content = found
                data = (content if isinstance(content, str) else json.dumps(content)).encode()
                # In one piece: two would wait for each other's acknowledgement.
                head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def names(self) -> list[str]:
        """What was asked, without its content."""
        return [what for what, _, _ in self.asked]

    def stop(self) -> None:
        """No more answers."""
        self._server.shutdown()
        self._server.server_close()
