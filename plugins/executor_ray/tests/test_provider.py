"""The Ray provider against recorded answers: what it asks, what it makes of every answer, good and bad."""

import subprocess
from typing import Any

import httpx
import pytest

from overnight_executor_ray.config import RayConfig
from overnight_executor_ray.provider import RayProvider
from overnight_jobs import bootstrap
from overnight_jobs.provider import CredentialsRefused, Lost, Program, Provider, ProviderError, StockOut

_SUBMIT, _JOB, _LOGS = "POST /api/jobs/", "GET /api/jobs/on-1", "GET /api/jobs/on-1/logs"
_STOP, _DELETE = "POST /api/jobs/on-1/stop", "DELETE /api/jobs/on-1"
_PROGRAM = Program(bootstrap.command(0), {"OVERNIGHT_SECRET": "s"}, 0)


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(dashboard: Any, clock: Clock) -> RayProvider:
    return make(dashboard, clock)


def make(dashboard: Any, clock: Clock | None = None, **options: Any) -> RayProvider:
    config = RayConfig(address=dashboard.address, timeout_s=5.0, **options)
    return RayProvider(config, clock or Clock())


def create(provider: RayProvider, gpu_type: str | None = None, gpus: int = 0) -> str:
    return provider.create("on-1", "on-s", provider.quotes(gpu_type, gpus, 1.0, 2.0)[0], _PROGRAM, 60.0)


def sent(dashboard: Any) -> dict[str, Any]:
    return dict(next(content for what, _, content in dashboard.asked if what == _SUBMIT))


def test_quotes_are_what_nodes_hold_and_what_of_it_is_free(
    provider: RayProvider, dashboard: Any, recorded: Any
) -> None:
    assert [(q.hardware, q.usd_per_hour, q.available) for q in provider.quotes(None, 1, 1.0, None)] == [
        ("A100 ×1", 0, 2)
    ]
    assert [(q.hardware, q.available) for q in provider.quotes("a100", 2, 1.0, None)] == [("A100 ×2", 1)]
    assert [(q.hardware, q.available) for q in provider.quotes(None, 0, 1.0, None)] == [("1 CPU cores", 4)]
    dashboard.told["GET /api/cluster_status"] = [(200, recorded.usage(cpu=3.0, gpu=1.0))]
    assert [q.available for q in provider.quotes(None, 0, 1.0, None)] == [1], "the head's core"
    assert [q.available for q in provider.quotes(None, 1, 1.0, None)] == [0], "a GPU is free, but no core beside it"


@pytest.mark.parametrize(
    ("kind", "gpus", "cpus", "memory_gb"),
    [(None, 3, 1.0, None), ("H100", 1, 1.0, None), (None, 0, 4.0, None), (None, 1, 1.0, 100.0)],
)
def test_what_no_node_holds_is_not_offered(
    provider: RayProvider, kind: str | None, gpus: int, cpus: float, memory_gb: float | None
) -> None:
    assert list(provider.quotes(kind, gpus, cpus, memory_gb)) == []


def test_a_cluster_that_adds_nodes_may_get_what_it_has_not(dashboard: Any, recorded: Any) -> None:
    provider = make(dashboard, autoscaling=True)
    assert [(q.hardware, q.available) for q in provider.quotes("H100", 1, 1.0, None)] == [("H100 ×1", None)]
    dashboard.told["GET /api/cluster_status"] = [(200, recorded.usage(gpu=2.0))]
    assert [q.available for q in provider.quotes("A100", 1, 1.0, None)] == [None]


def test_custom_resources_are_asked_for_and_needed(dashboard: Any) -> None:
    assert list(make(dashboard, resources={"absent": 1.0}).quotes(None, 0, 1.0, None)) == []
    provider = make(dashboard, resources={"A100": 1.0})
    dashboard.told[_SUBMIT] = [(200, {"submission_id": "on-1"})]
    create(provider)
    assert sent(dashboard)["entrypoint_resources"] == {"A100": 1.0}


def test_a_price_is_of_each_gpu_or_of_each_core(dashboard: Any) -> None:
    provider = make(dashboard, usd_per_hour=1.5)
    assert provider.quotes(None, 2, 1.0, None)[0].usd_per_hour == 3.0
    assert provider.quotes(None, 0, 2.0, None)[0].usd_per_hour == 3.0


@pytest.mark.parametrize("status", [{"result": True, "data": {"clusterStatus": None}}, {"data": None}, {}])
def test_a_cluster_that_does_not_say_what_is_in_use_is_asked_all_the_same(
    provider: RayProvider, dashboard: Any, status: Any
) -> None:
    dashboard.told["GET /api/cluster_status"] = [(200, status)]
    dashboard.told[_SUBMIT] = [(200, {"submission_id": "on-1"})]
    assert [q.available for q in provider.quotes(None, 1, 1.0, None)] == [None]
    assert create(provider, gpus=1) == "on-1"


def test_what_is_in_use_is_out_of_stock_and_nothing_is_submitted(
    provider: RayProvider, dashboard: Any, recorded: Any
) -> None:
    dashboard.told["GET /api/cluster_status"] = [(200, recorded.usage(gpu=2.0))]
    with pytest.raises(StockOut):
        create(provider, gpus=1)
    assert _SUBMIT not in dashboard.names()


def test_a_submission_says_what_it_takes_and_whose_it_is(dashboard: Any) -> None:
    provider = make(dashboard, python="/opt/python", folder="/scratch")
    dashboard.told[_SUBMIT] = [(200, {"job_id": "on-1", "submission_id": "on-1"})]
    assert create(provider, "A100", 2) == "on-1"
    job = sent(dashboard)
    assert job["submission_id"] == "on-1"
    assert job["metadata"]["overnight_study"] == "on-s"
    assert job["runtime_env"] == {"env_vars": {"OVERNIGHT_SECRET": "s", "OVERNIGHT_FOLDER": "/scratch"}}
    assert (job["entrypoint_num_cpus"], job["entrypoint_num_gpus"], job["entrypoint_memory"]) == (1.0, 2, 2 * 2**30)
    assert job["entrypoint_resources"] == {"accelerator_type:A100": 0.001}
    assert job["entrypoint"].count("/opt/python") == 2
    assert len(job["entrypoint"]) < 2**17, "the longest argument that Linux allows"
    parsed = subprocess.run(["sh", "-n", "-c", job["entrypoint"]], capture_output=True, check=False)
    assert parsed.returncode == 0, "it is one shell command"


def test_a_submission_id_that_is_taken_by_a_living_job_is_that_job(
    provider: RayProvider, dashboard: Any, recorded: Any
) -> None:
    dashboard.told[_SUBMIT] = [(500, recorded.duplicate("on-1"))]
    dashboard.told[_JOB] = [(200, recorded.job("PENDING"))]
    assert create(provider) == "on-1"
    assert _DELETE not in dashboard.names()


@pytest.mark.parametrize("status", ["FAILED", "STOPPED", "SUCCEEDED"])
def test_a_submission_id_that_is_taken_by_a_job_that_is_over_is_freed(
    provider: RayProvider, dashboard: Any, recorded: Any, status: str
) -> None:
    dashboard.told[_SUBMIT] = [(500, recorded.duplicate("on-1")), (200, {"submission_id": "on-1"})]
    dashboard.told[_JOB] = [(200, recorded.job(status))]
    dashboard.told[_DELETE] = [(200, {"deleted": True})]
    assert create(provider) == "on-1"
    assert dashboard.names()[-4:] == [_SUBMIT, _JOB, _DELETE, _SUBMIT]


@pytest.mark.parametrize("answer", [None, (500, "No available agent to submit job"), (200, "<html>"), (200, [])])
def test_an_answer_to_a_submission_that_is_none_leaves_it_open(
    provider: RayProvider, dashboard: Any, answer: Any
) -> None:
    dashboard.told[_SUBMIT] = [answer]
    with pytest.raises(Lost):
        create(provider)


def test_a_refused_submission_made_nothing(provider: RayProvider, dashboard: Any) -> None:
    dashboard.told[_SUBMIT] = [(400, "TypeError: entrypoint must be a string, got <class 'int'>")]
    with pytest.raises(ProviderError, match="entrypoint must be a string") as caught:
        create(provider)
    assert not isinstance(caught.value, Lost)


def test_a_cluster_that_is_not_there_made_nothing(dashboard: Any) -> None:
    provider = make(dashboard)
    dashboard.stop()
    with pytest.raises(ProviderError, match="no Ray cluster") as caught:
        provider.machine("on-1")
    assert not isinstance(caught.value, Lost)


def test_a_missing_token_stops_the_study_and_one_that_is_there_is_sent(
    dashboard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dashboard.told[_JOB] = [(401, "Unauthorized"), (404, "")]
    with pytest.raises(CredentialsRefused, match="token_env"):
        make(dashboard).machine("on-1")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t0ken")
    monkeypatch.setenv("GATEWAY", "k3y")
    make(dashboard, headers_env={"X-Api-Key": "GATEWAY"}).machine("on-1")
    headers = httpx.Headers(dashboard.asked[-1][1])
    assert (headers["Authorization"], headers["X-Api-Key"]) == ("Bearer t0ken", "k3y")


def test_a_job_has_an_address_once_its_server_has_said_its_port(
    provider: RayProvider, dashboard: Any, recorded: Any
) -> None:
    dashboard.told[_JOB] = [(200, recorded.job("PENDING")), (200, recorded.job("RUNNING"))]
    dashboard.told[_LOGS] = [
        (500, "the node's agent is not there"),
        (200, {"logs": ""}),
        (200, {"logs": recorded.log(None)}),
        (200, {"logs": recorded.log(40001, "r0") + recorded.log(None)}),
        (200, {"logs": recorded.log(40001, "r0") + recorded.log(40002)}),
    ]
    seen = [provider.machine("on-1") for _ in range(7)]
    assert [each and (each.state, each.url) for each in seen] == [
        ("provisioning", None),
        *[("running", None)] * 4,  # the last of them: an earlier job of this name has had another port
        *[("running", "http://192.0.2.2:40002")] * 2,
    ]
    assert dashboard.names().count(_LOGS) == 5, "a known port is not asked for again"


def test_nodes_may_be_reached_by_other_names(dashboard: Any, recorded: Any) -> None:
    provider = make(dashboard, node_url="https://gateway/{node}/{port}", port=9000)
    dashboard.told[_JOB] = [(200, recorded.job("RUNNING"))]
    assert provider.machine("on-1").url == f"https://gateway/{recorded.NODE}/9000"  # type: ignore[union-attr]
    provider = make(dashboard, port=9000)
    dashboard.told[_JOB] = [(200, recorded.job("RUNNING", driver_agent_http_address="http://[fd00::2]:52411"))]
    assert provider.machine("on-1").url == "http://[fd00::2]:9000"  # type: ignore[union-attr]


def test_why_a_job_is_over_is_said_in_one_line(provider: RayProvider, dashboard: Any, recorded: Any) -> None:
    failed = recorded.job("FAILED", message=recorded.NODE_DEATH, error_type="JOB_SUPERVISOR_ACTOR_DIED")
    exited = recorded.job("FAILED", message=recorded.EXITED, error_type="JOB_ENTRYPOINT_COMMAND_ERROR")
    dashboard.told[_JOB] = [(200, failed), (200, exited), (200, recorded.job("FAILED", message=None))]
    reasons = []
    for _ in range(3):
        machine = provider.machine("on-1")
        assert machine is not None and machine.state == "stopped"
        reasons.append(machine.reason)
    assert reasons[0].startswith("Ray: the actor's node was terminated unexpectedly: health check failed")
    assert "exit code 127" in reasons[1] and "nopython: not found" in reasons[1] and "base64" not in reasons[1]
    assert reasons[2] == "Ray: FAILED"
    assert not any("\n" in reason for reason in reasons)


def test_a_state_that_is_not_known_is_unknown(provider: RayProvider, dashboard: Any, recorded: Any) -> None:
    dashboard.told[_JOB] = [(200, recorded.job("ZOMBIE"))]
    assert provider.machine("on-1").state == "unknown"  # type: ignore[union-attr]


def test_a_listing_holds_the_studys_own_jobs_only(provider: RayProvider, dashboard: Any, recorded: Any) -> None:
    driver = {**recorded.job("RUNNING"), "type": "DRIVER", "submission_id": None}
    dashboard.told["GET /api/jobs/"] = [
        (
            200,
            [
                recorded.job("PENDING"),
                recorded.job("PENDING", "on-2", metadata={"overnight_study": "on-other"}),
                recorded.job("PENDING", "raysubmit_x", metadata=None),
                driver,
                None,
            ],
        ),
        (200, {"jobs": []}),
    ]
    assert [machine.id for machine in provider.machines("on-s")] == ["on-1"]
    with pytest.raises(Lost):
        provider.machines("on-s")


def test_a_running_job_is_stopped_then_deleted_once_its_monitor_has_looked(
    provider: RayProvider, dashboard: Any, recorded: Any, clock: Clock
) -> None:
    dashboard.told[_JOB] = [(200, recorded.job("RUNNING"))]
    dashboard.told[_STOP] = [(200, {"stopped": True})]
    dashboard.told[_DELETE] = [(200, {"deleted": True})]
    assert not provider.delete("on-1")
    dashboard.told[_JOB] = [(200, recorded.job("STOPPED"))]
    assert not provider.delete("on-1")
    clock.now += 2
    assert not provider.delete("on-1")
    assert _DELETE not in dashboard.names()
    clock.now += 2
    assert provider.delete("on-1")
    assert dashboard.names().count(_DELETE) == 1


def test_deleting_what_is_not_there_is_success(provider: RayProvider, dashboard: Any, recorded: Any) -> None:
    assert provider.delete("on-1")
    dashboard.told[_JOB] = [(200, recorded.job("RUNNING"))]
    assert provider.delete("on-1"), "it went between the question and the stop"


def test_a_job_that_waits_for_resources_counts_as_gone_once_its_stop_was_taken(
    provider: RayProvider, dashboard: Any, recorded: Any, clock: Clock
) -> None:
    dashboard.told[_JOB] = [(200, recorded.job("PENDING"))]
    dashboard.told[_STOP] = [(200, {"stopped": True})]
    dashboard.told[_DELETE] = [(500, recorded.STILL_PENDING)]
    assert not provider.delete("on-1")
    clock.now += 11
    assert provider.delete("on-1")
    assert provider.machine("on-1").state == "gone"  # type: ignore[union-attr]
    dashboard.told[_SUBMIT] = [(500, recorded.duplicate("on-1"))]
    with pytest.raises(StockOut):
        create(provider)


def test_it_is_all_that_an_executor_of_rented_machines_asks_of_a_provider() -> None:
    assert {name for name in vars(Provider) if not name.startswith("_")} <= set(dir(RayProvider))
