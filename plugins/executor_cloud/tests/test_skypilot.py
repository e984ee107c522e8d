"""The provider `skypilot` on recorded answers of SkyPilot 0.14.1 (skypilot_stub), and on the real one."""

import base64
import json
import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overnight_executor_cloud.basilica import Basilica
from overnight_executor_cloud.skypilot import SkyPilot
from overnight_executor_cloud.skypilot_names import Hardware, cluster_name, machine_name, prefix, task_text
from overnight_executor_cloud.skypilot_tunnel import Tunnels
from overnight_jobs.provider import CredentialsRefused, Lost, Program, Provider, ProviderError, Quote, StockOut

sys.path.insert(0, str(Path(__file__).with_name("skypilot_stub")))
from skypilot_server import REAL, Server, answer, failure  # beside these tests, not in a package

HYPERSTACK = Quote("A100:1 on shadeform hyperstack_A100", 1.35)
PROGRAM = Program(("python3", "-c", "print('hi')"), {"TOKEN": "secret"}, 8733)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    for request_id, result in found.results.items():
        if result == {"hold": True}:
            found.results[request_id] = answer(None)
    found.http.shutdown()


def provider(server: Server, **settings: Any) -> SkyPilot:
    return SkyPilot(api_url=server.url, settle_s=0.2, timeout_s=2.0, **settings)


def offers(sky: SkyPilot, *wanted: Any) -> list[tuple[str, float]]:
    return [(quote.hardware, quote.usd_per_hour) for quote in sky.quotes(*wanted)]


def test_quotes_are_what_the_optimiser_agrees_to_and_cheapest_first(server: Server) -> None:
    assert offers(provider(server), "A100", 1, 4.0, None) == [
        ("A100:1 on shadeform hyperstack_A100", 1.35),
        ("A100-80GB:1 on fluidstack A100_PCIE_80GB::1", 1.49),
        ("A100-80GB:1 on shadeform massed_A100_80GB", 1.87),
        ("A100:1 on shadeform lambda_A100", 1.99),
    ]
    assert [usd for _, usd in offers(provider(server, max_hourly_cost=1.5), "A100", 1, 4.0, None)] == [1.35, 1.49]
    assert offers(provider(server), "A100", 1, 29.0, None) == [("A100:1 on shadeform lambda_A100", 1.99)]
    assert offers(provider(server), "A100", 1, 1.0, 150.0) == [("A100:1 on shadeform lambda_A100", 1.99)]
    assert offers(provider(server), "B300", 8, 1.0, None) == []


def test_a_cloud_that_cannot_delete_a_machine_itself_has_to_be_allowed(server: Server) -> None:
    assert not [where for where, _ in offers(provider(server, reach="ssh"), "A100", 1, 4.0, None) if "verda" in where]
    allowed = provider(server, reach="ssh", without_autodown=True)
    assert offers(allowed, "A100", 1, 4.0, None)[1] == ("A100-80GB:1 on verda 1A100.22V", 1.29)
    spot = provider(server, reach="ssh", without_autodown=True, spot=True, infra="verda/FIN-03")
    assert offers(spot, "A100", 1, 4.0, None) == [("A100-80GB:1 spot on verda/FIN-03 1A100.22V", 0.4515)]
    assert offers(provider(server, without_autodown=True, infra="verda"), "A100", 1, 4.0, None) == []  # opens no ports


def test_slurm_is_free_and_says_how_many_are_left(server: Server) -> None:
    found = provider(server, infra="slurm/probe", reach="ssh").quotes("A100", 2, 1.0, 2.0)
    assert list(found) == [Quote("A100:2 on slurm/probe 1CPU--2GB--A100:2", 0.0, 2)]
    server.said["/slurm_gpu_availability"] = answer([["probe", [], "Could not query Slurm cluster for info"]])
    with pytest.raises(ProviderError, match="Could not query"):  # not the same as "there never will be one"
        provider(server, infra="slurm/probe", reach="ssh").quotes("A100", 2, 1.0, 2.0)


def test_machines_without_gpus_come_from_the_optimisers_table(server: Server) -> None:
    rented = provider(server, infra="shadeform", reach="ssh")
    assert offers(rented, None, 0, 1.0, None)[0] == ("cpu on verda/FIN-01 CPU.4V.16G", 0.035)
    assert offers(provider(server, infra="slurm", reach="ssh"), None, 0, 2.0, None) == [("cpu on slurm 2CPU--8GB", 0.0)]


def test_a_cloud_without_access_is_a_persons_business(server: Server) -> None:
    with pytest.raises(CredentialsRefused, match="sky check aws"):
        provider(server, infra="aws").quotes("A100", 1, 1.0, None)


@pytest.mark.parametrize("name", ["s/t7/train/a1", "S/T7/train/a1", "a_b.c", "zebra", "é☃", "x" * 90, "a--b-m"])
def test_a_clusters_name_gives_the_machines_name_back(name: str) -> None:
    cluster = cluster_name("study", name)
    assert machine_name(cluster) == name and cluster.startswith(prefix("study"))
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", cluster)  # nothing that a cloud would fold


@pytest.mark.parametrize("text", ["cpu on aws/us-east-1 m6i", "A100:8 spot on gcp a2", "H100:1 on kubernetes/a/b"])
def test_hardware_can_be_read_back(text: str) -> None:
    hardware = Hardware.parse(text)
    assert hardware is not None and str(hardware) == text
    assert Hardware.parse("an A100") is None


def test_every_task_has_an_end_and_hides_its_environment() -> None:
    def task(where: str) -> Any:
        hardware = Hardware.parse(where)
        assert hardware is not None
        return json.loads(task_text("c", "study", hardware, PROGRAM, 601.0, open_port=True))

    found = task("A100:1 spot on aws/us-east-1 p4d")
    assert found["resources"]["autostop"] == {"idle_minutes": 11, "down": True, "wait_for": "none"}
    assert found["secrets"] == {"TOKEN": "secret"} and "envs" not in found
    assert found["resources"]["use_spot"] and found["resources"]["ports"] == 8733
    assert found["run"] == """exec python3 -c 'print('"'"'hi'"'"')'"""
    assert task("cpu on slurm/probe 1CPU--1GB")["config"] == {"slurm": {"sbatch_options": {"time": "11"}}}
    assert "autostop" not in task("A100:1 on verda 1A100.22V")["resources"]  # it would be refused


def test_one_machine_from_the_beginning_to_its_end(server: Server) -> None:
    sky = provider(server)
    server.launching = True
    made = sky.create("s/t1/a1", "study", HYPERSTACK, PROGRAM, 600.0)
    assert [(m.id, m.name, m.state, m.url) for m in sky.machines("study")] == [(made, "s/t1/a1", "provisioning", None)]
    assert sky.create("s/t1/a1", "study", HYPERSTACK, PROGRAM, 600.0) == made and server.count("/launch") == 1
    server.rows[0]["status"] = "SUCCEEDED"
    server.clusters[made] |= {"status": "UP", "to_down": True}
    found = sky.machine(made)
    assert found is not None and (found.state, found.url) == ("running", "http://10.1.2.3:30007")
    assert (found.usd, found.seconds, found.hardware) == (0.5, 28.0, "A100:1 on slurm/probe")
    assert list(sky.machines("study")) == [found] and list(sky.machines("other")) == []
    assert sky.delete(made) and sky.delete(made) and sky.machine(made) is None and list(sky.machines("study")) == []


def test_a_lost_answer_to_create_is_said_and_the_machine_is_found(server: Server) -> None:
    server.lose.add("/launch")
    with pytest.raises(Lost):
        provider(server).create("t1", "study", HYPERSTACK, PROGRAM, 600.0)
    assert [m.name for m in provider(server).machines("study")] == ["t1"]
    server.raw["/launch"] = (502, b"Bad Gateway")
    with pytest.raises(Lost):
        provider(server).create("t2", "study", HYPERSTACK, PROGRAM, 600.0)
    server.raw["/launch"] = (503, b"Server is shutting down, please try again later.")
    with pytest.raises(ProviderError) as refused:
        provider(server).create("t2", "study", HYPERSTACK, PROGRAM, 600.0)
    assert not isinstance(refused.value, Lost)


NO_STOCK = failure("ResourcesUnavailableError", "Failed to provision all possible launchable resources. x: no capacity")


def test_no_stock_is_not_any_other_refusal(server: Server) -> None:
    for said, expected in [
        (NO_STOCK, StockOut),
        (REAL["launch_no_autodown"], ProviderError),
        (REAL["launch_not_enabled"], CredentialsRefused),
        (failure("InvalidCloudCredentials", "expired"), CredentialsRefused),
    ]:
        server.launch_fails = said
        with pytest.raises((ProviderError, CredentialsRefused)) as raised:
            provider(server).create("t1", "study", HYPERSTACK, PROGRAM, 600.0)
        assert type(raised.value) is expected
    with pytest.raises(ProviderError, match="no offer"):
        provider(server, max_hourly_cost=1.0).create("t1", "study", HYPERSTACK, PROGRAM, 600.0)


def test_a_late_refusal_shows_as_gone_with_its_reason(server: Server) -> None:
    sky = provider(server)
    server.launching = True
    made = sky.create("t1", "study", HYPERSTACK, PROGRAM, 600.0)
    server.clusters.clear()
    assert [m.state for m in sky.machines("study")] == ["provisioning"]
    server.rows[0]["status"] = "FAILED"
    server.results[server.rows[0]["request_id"]] = NO_STOCK
    found = sky.machine(made)
    assert found is not None and found.state == "gone" and found.reason.startswith("stock-out: Failed to provision")
    assert list(sky.machines("study")) == [] and sky.delete(made)


def test_a_launch_that_broke_off_holds_what_it_got_until_it_is_deleted(server: Server) -> None:
    server.launch_fails, server.holds = failure("RuntimeError", "Failed to run setup commands on an instance."), True
    sky = provider(server)
    made = sky.create("t1", "study", HYPERSTACK, PROGRAM, 600.0)
    (found,) = sky.machines("study")
    assert (found.state, found.reason) == ("stopped", "launch-failed: Failed to run setup commands on an instance.")
    assert sky.delete(made) and not server.clusters


def test_a_server_that_was_restarted_has_forgotten_the_launch_and_calls_the_cluster_up(server: Server) -> None:
    sky = provider(server)
    made = sky.create("t1", "study", HYPERSTACK, PROGRAM, 600.0)
    server.rows.clear()
    assert [m.state for m in sky.machines("study")] == ["running"]  # the launch was over, and had set autodown
    server.clusters[made]["to_down"] = False
    assert [(m.state, m.url) for m in sky.machines("study")] == [("stopped", None)]


def test_delete_stops_a_launch_before_it_takes_the_cluster_down(server: Server) -> None:
    server.launching = True
    sky = provider(server)
    made = sky.create("t1", "study", HYPERSTACK, PROGRAM, 600.0)
    server.clusters.clear()  # the launch waits for a worker: /down alone says that there is nothing
    assert sky.delete(made) and [row["status"] for row in server.rows] == ["CANCELLED"]
    server.lose.add("/down")
    assert not sky.delete(made)


def test_nobody_there_no_entry_and_garbage(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = SkyPilot(api_url="http://127.0.0.1:9", timeout_s=1.0)
    with pytest.raises(ProviderError, match="No SkyPilot API server") as raised:
        nobody.create("t1", "study", HYPERSTACK, PROGRAM, 600.0)
    assert not isinstance(raised.value, Lost)
    assert [(d.level, "sky api start" in d.todo) for d in nobody.diagnose()] == [("fail", True)]
    monkeypatch.setenv("MY_SKY", "sky_wrong")
    for path in ("/status", "/api/health"):
        server.raw[path] = (401, b'{"detail":"Service account authentication disabled"}')
    with pytest.raises(CredentialsRefused, match="MY_SKY"):
        provider(server, token_env="MY_SKY").machines("study")
    assert [d.level for d in provider(server, token_env="MY_SKY").diagnose()] == ["fail"]
    for path in ("/status", "/api/health", "/api/get"):
        server.raw[path] = (200, b"<html>A captive portal</html>")
    with pytest.raises(ProviderError):
        provider(server).machines("study")
    assert [d.level for d in provider(server).diagnose()] == ["fail"]


def test_what_cannot_be_asked_is_not_an_empty_answer(server: Server) -> None:
    offline = failure("ConnectionError", "Failed to resolve 'raw.githubusercontent.com'")
    for path in ("/list_accelerators", "/optimize"):
        server.said = {path: offline}
        with pytest.raises(ProviderError, match="Failed to resolve"):
            provider(server, infra="shadeform").quotes("A100", 1, 1.0, None)


def test_diagnose_says_what_one_gpu_costs(server: Server) -> None:
    found = provider(server).diagnose()
    assert [d.level for d in found] == ["ok", "ok", "ok"] and "0.14.1" in found[0].said and "$1.35" in found[2].said
    assert [d.level for d in provider(server, infra="aws").diagnose()] == ["ok", "fail"]


class Boom:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["BOOM"],)


def test_nothing_that_is_pickled_is_opened(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOM", str(tmp_path / "boom"))
    boom = base64.b64encode(pickle.dumps(Boom())).decode()
    server.launch_fails = failure("RuntimeError", "no", boom)
    with pytest.raises(ProviderError):
        provider(server).create("t1", "study", HYPERSTACK, PROGRAM, 600.0)
    assert not (tmp_path / "boom").exists()


FAKE_SSH = """#!{python}
import socket, sys, threading
port = int(next(a for a in sys.argv if a.startswith("127.0.0.1:")).split(":")[1])
listener = socket.create_server(("127.0.0.1", port))
threading.Thread(target=lambda: [listener.accept() for _ in iter(int, 1)], daemon=True).start()
sys.stdin.read()
"""
FAKE_SKY = """#!/bin/sh
mkdir -p "$HOME/.sky/generated/ssh"
echo "$SKYPILOT_API_SERVER_ENDPOINT" > "$HOME/.sky/generated/ssh/$2"
"""


def test_a_tunnel_comes_back_after_it_broke_and_ends_with_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("ssh", FAKE_SSH.format(python=sys.executable)), ("sky", FAKE_SKY)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    tunnels = Tunnels("sky", "http://127.0.0.1:1", "T")

    def reached() -> str:
        end = time.monotonic() + 20.0
        while (url := tunnels.url("c1", 8733)) is None:
            assert time.monotonic() < end
            time.sleep(0.02)
        return url

    first = reached()
    assert reached() == first and (tmp_path / ".sky/generated/ssh/c1").read_text() == "http://127.0.0.1:1\n"
    process, _ = tunnels._open["c1"]
    process.kill()
    process.wait()
    assert reached() != first
    again, _ = tunnels._open["c1"]
    assert again.stdin is not None
    again.stdin.close()  # as when the owner is killed
    assert again.wait(10.0) == 0
    tunnels.close()
    with pytest.raises(ProviderError, match="cannot be run"):
        Tunnels("no-such-sky", "http://127.0.0.1:1", "T").url("c1", 1)


CATALOG = """InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,GpuInfo
1A100.22V,A100-80GB,1.0,22.0,120.0,1.29,0.4515,FIN-01,
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_real_api_server_and_optimiser(tmp_path: Path) -> None:
    sky = os.environ.get("OVERNIGHT_SKY")
    if not sky:
        pytest.skip("OVERNIGHT_SKY does not name a venv's bin/sky (pip install skypilot==0.14.1 in a venv of its own)")
    for cloud, rows in (("verda", CATALOG), ("common", "AcceleratorName,Clouds\nA100-80GB,\"['Verda']\"\n")):
        folder = tmp_path / ".sky/catalogs/v8" / cloud
        folder.mkdir(parents=True)
        (folder / ("vms.csv" if cloud == "verda" else "accelerators.csv")).write_text(rows)
    (tmp_path / ".verda").mkdir()
    (tmp_path / ".verda/config.json").write_text('{"client_id": "none", "client_secret": "none"}')
    port = "46591"
    env = {**os.environ, "HOME": str(tmp_path), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    env |= {"SKYPILOT_API_SERVER_LOCAL_PORT": port, "PATH": f"{Path(sky).parent}:{os.environ['PATH']}"}

    def run(*words: str) -> None:
        subprocess.run([sky, *words], env=env, check=True, capture_output=True, timeout=120.0)

    run("api", "start", "--port", port)
    try:
        run("check", "verda")
        settings: dict[str, Any] = {"api_url": f"http://127.0.0.1:{port}", "reach": "ssh", "without_autodown": True}
        provider = SkyPilot(**settings)
        assert offers(provider, "A100", 1, 4.0, None) == [("A100-80GB:1 on verda 1A100.22V", 1.29)]
        assert offers(SkyPilot(spot=True, **settings), "A100", 1, 4.0, None)[0][1] == 0.4515
        assert offers(SkyPilot(max_hourly_cost=1.0, **settings), "A100", 1, 4.0, None) == []
        assert offers(provider, "B300", 8, 1.0, None) == []
        assert offers(SkyPilot(**(settings | {"reach": "port"})), "A100", 1, 4.0, None) == []
        assert "fail" not in [d.level for d in SkyPilot(sky_command=sky, **settings).diagnose()]
        assert list(provider.machines("study")) == [] and provider.machine("nosuch") is None
        assert provider.delete("nosuch")
        quote = Quote("A100-80GB:1 on verda 1A100.22V", 1.29)
        try:  # these credentials are none: it must be refused, now or a little later
            made = provider.create("t1", "study", quote, PROGRAM, 600.0)
        except ProviderError as refused:
            assert not isinstance(refused, Lost)
        else:
            while not provider.delete(made):
                time.sleep(1.0)
        assert list(provider.machines("study")) == []
    finally:
        run("api", "stop")


@pytest.mark.parametrize("provider", [Basilica, SkyPilot])
def test_each_is_all_that_an_executor_of_rented_machines_asks_of_a_provider(provider: type) -> None:
    members = {name for name in vars(Provider) if not name.startswith("_")}
    assert members <= set(dir(provider)) | {"lag_s"}, "lag_s is set when one is made"
