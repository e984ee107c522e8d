"""The Ray executor as core sees it, without a cluster: settings, capabilities, diagnosis."""

from pathlib import Path
from typing import Any

import pytest

from core import Job, OutOfStock, Resources, SetupError
from core.contracts import Diagnoses
from core.plugins import discover
from core.testing.light import heavy_imports, missing_in_yaml
from overnight_executor_ray.config import RayConfig, address


def make(tmp_path: Path, dashboard: Any, **options: Any) -> Any:
    told = {"name": "ray", "address": dashboard.address, **options}
    return discover().build("executor", told, workspace=tmp_path / "study" / ".executor")


def test_it_costs_nothing_unless_a_price_is_given(tmp_path: Path, dashboard: Any) -> None:
    free, priced = make(tmp_path, dashboard).caps(), make(tmp_path, dashboard, usd_per_hour=2.0).caps()
    assert (free.priced, priced.priced) == (False, True)
    assert free.detached and free.elastic and not free.spot and not free.shares_files


def test_slots_follow_the_clusters_gpus(tmp_path: Path, dashboard: Any) -> None:
    executor = make(tmp_path, dashboard)
    assert executor.caps().slots == 2
    dashboard.told["GET /api/v0/nodes"] = [(500, "")]
    assert executor.caps().slots == 2, "what it said last"
    assert make(tmp_path, dashboard, max_slots=5).caps().slots == 5
    assert make(tmp_path, dashboard, slots=3).caps().slots == 3


def test_a_job_that_is_held_to_a_kind_brings_back_a_node_that_is_gone(
    tmp_path: Path, dashboard: Any, recorded: Any
) -> None:
    """The cluster takes away idle nodes, and the study's next evaluation is to run on what they were."""
    dashboard.told["POST /api/jobs/"] = [(200, {"submission_id": "x"})]
    some = Resources(gpus=1)

    def job(hardware: str) -> Job:
        return Job("s/1/test/a1", "s", ("python", "-V"), resources=some, hardware=hardware, deadline_s=60.0)

    with pytest.raises(OutOfStock):
        make(tmp_path, dashboard).submit(job("A10 ×1"), "s/1/test/a1")
    executor = make(tmp_path, dashboard, autoscaling=True)
    executor.submit(job("A10 ×1"), "s/1/test/a1")
    assert dashboard.asked[-1][2]["entrypoint_resources"] == {"accelerator_type:A10": 0.001}
    assert [offer.hardware for offer in executor.offers(some)] == ["A100 ×1", "A10 ×1"]
    # A study that began without any node, and has named no kind, is held to a GPU of whatever kind.
    again = make(tmp_path / "other", dashboard, autoscaling=True)
    again.submit(job("GPU ×1"), "s/1/test/a1")
    asked = dashboard.asked[-1][2]
    assert (asked["entrypoint_num_gpus"], asked["entrypoint_resources"]) == (1, None)


def test_a_container_image_is_refused_before_anything_is_spent(tmp_path: Path, dashboard: Any) -> None:
    with pytest.raises(SetupError, match=r"executor\.image"):
        make(tmp_path, dashboard, image="pytorch")


def test_diagnosis_says_what_there_is_and_whether_it_is_reached(tmp_path: Path, dashboard: Any, recorded: Any) -> None:
    executor = make(tmp_path, dashboard)
    assert isinstance(executor, Diagnoses)
    nodes = recorded.NODES["data"]["result"]["result"]
    here = {"data": {"result": {"result": [{**node, "node_ip": "127.0.0.1"} for node in nodes]}}}
    dashboard.told["GET /api/v0/nodes"] = [(200, here)]
    assert [(each.level, each.said.partition(": ")[2]) for each in executor.diagnose()] == [
        ("ok", "2 nodes, 4 CPUs (4 free), 2 GPUs (2 free) of kind A100")
    ]
    dashboard.told["GET /api/cluster_status"] = [(200, {})]
    assert [each.level for each in executor.diagnose()] == ["ok", "warn"]
    dashboard.told["GET /api/version"] = [(403, "")]
    assert [each.level for each in executor.diagnose()] == ["fail"]
    dashboard.stop()
    (told,) = make(tmp_path, dashboard).diagnose()
    assert told.level == "fail" and "no Ray cluster" in told.said and "executor.address" in told.todo


def test_nothing_heavy_is_imported_and_every_setting_is_in_the_yaml() -> None:
    assert heavy_imports("executor", "ray") == []
    assert missing_in_yaml("executor", "ray") == set()


@pytest.mark.parametrize(
    ("given", "variables", "expected"),
    [
        (None, {}, "http://127.0.0.1:8265"),
        (None, {"RAY_ADDRESS": "10.0.0.1:6379"}, "http://127.0.0.1:8265"),
        (None, {"RAY_ADDRESS": "http://head:8265/"}, "http://head:8265"),
        (None, {"RAY_ADDRESS": "http://a", "RAY_API_SERVER_ADDRESS": "http://b"}, "http://b"),
        ("https://c/prefix/", {"RAY_ADDRESS": "http://a"}, "https://c/prefix"),
    ],
)
def test_the_address_is_given_or_of_the_environment(
    given: str | None, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert address(RayConfig(address=given)) == expected
