"""The Ray executor on a real cluster of three nodes: the contract, lost nodes, lost answers, nothing left."""

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from core import Ambiguous, Job, NotYet, OutOfStock, Resources
from core.contracts import TERMINAL, Executor, Handle, Observation
from core.plugins import discover
from core.testing import ExecutorConformance
from support import decided_by_grpo

_spec = importlib.util.spec_from_file_location("ray_cluster", Path(__file__).with_name("cluster.py"))
assert _spec is not None and _spec.loader is not None
ray_cluster = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ray_cluster)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(ray_cluster.why_not()), reason=ray_cluster.why_not()),
]
_OPTIONS: dict[str, Any] = {"python": sys.executable, "lag_s": 0.3, "mirror_s": 1.0}
_OWNER = f"ray-{os.getpid()}"
_FOREVER = "print('up', flush=True); import time; time.sleep(900)"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and two nodes with made-up GPUs: a has two A100, b has one H100."""
    made = ray_cluster.Cluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


class TestRay(ExecutorConformance):
    name = "ray"
    options: ClassVar[dict[str, Any]] = dict(_OPTIONS)
    patience_s = 120.0

    @pytest.fixture(autouse=True)
    def _address(self, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.address)


@pytest.fixture
def executor(cluster: Any, tmp_path: Path) -> Iterator[Executor]:
    """An executor on the cluster; its jobs are gone after the test."""
    made = make(tmp_path, cluster.address)
    yield made
    made.reap(_OWNER, ())


def make(tmp_path: Path, address: str, **options: Any) -> Executor:
    told = {"name": "ray", **_OPTIONS, "address": address, **options}
    found: Executor = discover().build("executor", told, workspace=tmp_path / "study" / ".executor")
    return found


def start(executor: Executor, code: str, number: int = 1, **more: Any) -> Handle:
    token = f"{_OWNER}/{number:04}/train/a1"
    job = Job(token, _OWNER, ("python", "-c", code), **{"deadline_s": 600.0, **more})
    return executor.submit(job, token)


def wait(executor: Executor, handle: Handle, *states: str, patience_s: float = 120.0) -> Observation:
    end = time.monotonic() + patience_s
    while (seen := executor.poll([handle])[0]).state not in (states or TERMINAL):
        assert time.monotonic() < end, seen
        time.sleep(0.1)
    return seen


def said(executor: Executor, handle: Handle, text: bytes = b"up") -> None:
    wait(executor, handle, "running")
    ray_cluster.until(lambda: text in executor.logs(handle, 0)[0])


def gone(executor: Executor, handle: Handle) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            return executor.cancel(handle, 0.0)
        except NotYet:
            assert time.monotonic() < end
            time.sleep(0.2)


def of_job(mark: str) -> list[int]:
    return [pid for pid in ray_cluster.living() if mark.encode() in ray_cluster.environment(pid)]


def test_it_says_what_the_cluster_has(executor: Executor) -> None:
    def told() -> list[tuple[str, int | None]]:
        return [(each.hardware, each.available) for each in executor.offers(Resources(gpus=1))]

    ray_cluster.until(lambda: told() == [("A100 ×1", 2), ("H100 ×1", 1)], 15)  # use is told every 5 seconds
    assert [each.hardware for each in executor.offers(Resources(gpus=2))] == ["A100 ×2"]
    assert list(executor.offers(Resources(gpus=1, memory_gb=10_000.0))) == []
    assert executor.caps().slots == 3
    first = executor.diagnose()[0]  # type: ignore[attr-defined]
    assert first.level == "ok" and "3 nodes" in first.said and "3 GPUs (3 free) of kind A100, H100" in first.said


def test_a_job_runs_on_the_kind_of_gpu_that_it_asked_for_and_sees_its_own(executor: Executor, tmp_path: Path) -> None:
    code = (
        "import json, os; json.dump(os.environ['CUDA_VISIBLE_DEVICES'], open('gpus', 'w'));"
        "open('result.json', 'w').write('{}')"
    )
    for number, (kind, gpus, expected) in enumerate([("H100", 1, '"0"'), ("A100", 2, '"0,1"')]):
        handle = start(executor, code, number, resources=Resources(1.0, gpus, kind), outputs=("gpus",))
        seen = wait(executor, handle)
        assert (seen.state, seen.hardware) == ("succeeded", f"{kind} ×{gpus}")
        executor.fetch(handle, tmp_path / kind)
        assert sorted((tmp_path / kind / "gpus").read_text()) == sorted(expected)


def test_what_others_use_is_out_of_stock_and_comes_back(executor: Executor) -> None:
    taken = start(executor, _FOREVER, 1, resources=Resources(gpus=1, gpu_type="H100"))
    wait(executor, taken, "running")
    ray_cluster.until(lambda: executor.offers(Resources(gpus=1, gpu_type="H100"))[0].available == 0)
    with pytest.raises(OutOfStock):
        start(executor, _FOREVER, 2, resources=Resources(gpus=1, gpu_type="H100"))
    assert executor.find(f"{_OWNER}/0002/train/a1") is None
    gone(executor, taken)
    ray_cluster.until(lambda: executor.offers(Resources(gpus=1, gpu_type="H100"))[0].available == 1)


def test_a_job_in_rays_queue_is_cancelled_like_any(cluster: Any, tmp_path: Path) -> None:
    executor = make(tmp_path, cluster.address, autoscaling=True)
    queued = start(executor, _FOREVER, 77, resources=Resources(gpus=1, gpu_type="H200"))
    assert wait(executor, queued, "provisioning").reason == "Ray has not started it yet"
    gone(executor, queued)
    assert executor.find(queued.token) is None
    assert executor.reap(_OWNER, ()).tokens == ()


def test_no_process_and_no_file_is_left_after_cancel(executor: Executor) -> None:
    stubborn = (
        "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork() or os.setsid();"
        "os.fork() or os.setsid();" + _FOREVER
    )
    mark = f"OVERNIGHT_TEST_JOB={_OWNER}-cancel"
    handle = start(executor, stubborn, env=dict([mark.split("=")]))
    said(executor, handle)
    assert len(of_job(mark)) == 4
    (place,) = {Path(f"/proc/{pid}/cwd").readlink() for pid in of_job(mark)}
    own = next(folder for folder in place.parents if folder.name.startswith("job-"))
    gone(executor, handle)
    assert of_job(mark) == []
    assert not own.exists()


def test_the_cluster_remembers_nothing_of_a_job_that_was_cancelled(cluster: Any, executor: Executor) -> None:
    handle = start(executor, _FOREVER)
    said(executor, handle)
    gone(executor, handle)
    time.sleep(5)  # Ray's monitor would have brought it back by now
    assert [job for job in cluster.jobs() if job["submission_id"] == handle.id] == []


@pytest.mark.parametrize("only", ["raylet", ""], ids=["its raylet dies", "all of it dies"])
def test_a_lost_node_is_a_lost_job_with_its_mirrored_files(
    cluster: Any, executor: Executor, tmp_path: Path, only: str
) -> None:
    mark = f"OVERNIGHT_TEST_JOB={_OWNER}-lost{len(only)}"
    code = "import os; os.mkdir('checkpoint'); open('checkpoint/w', 'w').write('half');" + _FOREVER
    handle = start(
        executor, code, resources=Resources(gpus=1, gpu_type="H100"), env=dict([mark.split("=")]),
        mirrored=("checkpoint",), outputs=("checkpoint",),
    )  # fmt: skip
    said(executor, handle)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        wait(executor, handle, "running")
        time.sleep(0.3)
    cluster.kill("b", only)
    try:
        seen = wait(executor, handle)
        assert seen.state == "lost" and "node" in seen.reason, seen
        executor.fetch(handle, tmp_path / "mirror")
        assert (tmp_path / "mirror" / "checkpoint" / "w").read_text() == "half"
        ray_cluster.until(lambda: of_job(mark) == [])
        gone(executor, handle)
    finally:
        cluster.kill("b")
        cluster.node("b")
        ray_cluster.until(lambda: len(cluster.nodes()) == 3, 120)


def test_a_submission_whose_answer_was_lost_is_found_and_not_made_twice(cluster: Any, tmp_path: Path) -> None:
    with lossy(cluster.address) as (address, dropped):
        executor = make(tmp_path, address)
        code = "open('starts', 'a').write('x'); open('result.json', 'w').write('{}')"
        with pytest.raises(Ambiguous):
            start(executor, code, outputs=("starts",))
        assert dropped == [1]
        handle = executor.find(f"{_OWNER}/0001/train/a1")
        assert handle is not None
        assert start(executor, code, outputs=("starts",)) == handle
        assert len([job for job in cluster.jobs() if job["submission_id"] == handle.id]) == 1
        assert wait(executor, handle).state == "succeeded"
        executor.fetch(handle, tmp_path / "out")
        assert (tmp_path / "out" / "starts").read_text() == "x"
        gone(executor, handle)


class lossy:  # noqa: N801 - a context manager
    """A proxy before a Jobs API that swallows the answer to the first submission."""

    def __init__(self, target: str) -> None:
        dropped: list[int] = []

        class Proxy(BaseHTTPRequestHandler):
            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = httpx.request(
                    self.command,
                    target + self.path,
                    content=body,
                    headers={"Content-Type": "application/json"},
                    timeout=60,
                )
                if self.command == "POST" and self.path == "/api/jobs/" and not dropped:
                    dropped.append(1)
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_DELETE = forward  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        self._dropped = dropped

    def __enter__(self) -> tuple[str, list[int]]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}", self._dropped

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_grpo_study_decides_as_on_this_machine(cluster: Any, tmp_path: Path) -> None:
    here = decided_by_grpo(tmp_path / "local", "executor=local")
    told = ("executor=ray", f"executor.address={cluster.address}", f"executor.python={sys.executable}")
    assert decided_by_grpo(tmp_path / "ray-study", *told) == here
    assert len(here) == 4
