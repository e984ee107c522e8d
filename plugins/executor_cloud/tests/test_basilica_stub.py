"""The stub of Basilica behaves, and misbehaves, as the real SDK sees it."""

import contextlib
import hashlib
import http.client
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).with_name("basilica_stub")))  # importlib mode does not add it

from basilica_hand import BasilicaStub

basilica = pytest.importorskip("basilica", reason="the real SDK is needed: pip install basilica-sdk==0.36.8")
DeploymentNotFound = pytest.importorskip("basilica.exceptions").DeploymentNotFound

SERVICE = """
import hashlib, http.server, json, os, signal, sys, time
print("up", flush=True)
signal.signal(signal.SIGTERM, lambda *_: (print("warned", flush=True), sys.exit(0)))
class Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def say(self, body):
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path == "/stream":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            for _ in range(3): self.wfile.write(b"4\\r\\nstep\\r\\n")
            return self.wfile.write(b"0\\r\\n\\r\\n")
        if self.path.startswith("/big"): return self.say(b"x" * int(self.path.partition("=")[2]))
        self.say(json.dumps([os.getpid(), sorted(os.environ), os.listdir("."), self.path]).encode())
    def do_PUT(self):
        length, sum, got = self.headers.get("Content-Length"), hashlib.sha256(), 0
        if length is None:
            while size := int(self.rfile.readline(), 16):
                sum.update(self.rfile.read(size)); got += size; self.rfile.readline()
            self.rfile.readline()
        else:
            while got < int(length) and (block := self.rfile.read1(1 << 16)): sum.update(block); got += len(block)
        print("got", got, flush=True)
        self.say(f"{got} {sum.hexdigest()}".encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("OVERNIGHT_PORT_OVERRIDE", 8000))), Door).serve_forever()
"""
FAST = {"lag_s": 0.15, "boot_s": 0.05, "backoff_s": 0.1, "grace_s": 0.1}
OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@pytest.fixture
def stub(tmp_path):
    with BasilicaStub(tmp_path / "cloud", price=["A100=3600", "H100=7200"], **FAST) as stub:
        yield stub


@pytest.fixture
def client(stub, monkeypatch):
    for name in [name for name in os.environ if name.startswith("BASILICA") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return basilica.BasilicaClient(stub.url, stub.token)


def create(client, name="trial-1", code=SERVICE, **more):
    """A deployment that runs a piece of Python."""
    order = {
        "image": "x", "port": 8000, "command": [sys.executable, "-ESs", "-c"], "args": [code], "env": {"TRIAL": "7"},
        "gpu_count": 1, "gpu_models": ["A100"], "ttl_seconds": 60, "public": True,
    }  # fmt: skip
    return client.create_deployment(instance_name=name, **order | more)


def ask(url, data=None, method=None, headers=None):
    """The body of an answer of the program in a machine, once it listens."""
    for _ in range(200):
        try:
            with OPEN(urllib.request.Request(url, data, headers or {}, method=method), timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError as why:
            if why.code != 503:
                raise
        time.sleep(0.03)
    raise TimeoutError(url)


def until(test, patience_s=8.0):
    """What the test returns, once it is true."""
    end = time.monotonic() + patience_s
    while not (found := test()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def gone(client, deployment):
    with contextlib.suppress(KeyError):
        client.get_deployment(deployment.instance_name)
        return False
    return True


def messages(log):
    """The lines in a log as the API gives it: server-sent events."""
    return [json.loads(line[6:])["message"] for line in log.splitlines() if line.startswith("data: ")]


def test_a_deployment_boots_runs_is_reached_and_is_deleted(stub, client):
    assert client.health_check().status == "healthy"
    stub.admin(boot_s=0.5)
    made = create(client)
    assert (made.state, made.friendly_name, made.replicas.ready) == ("Pending", "trial-1", 0)
    deployment, phases = client.get(made.instance_name), []
    until(lambda: phases.append(deployment.status().phase) or deployment.status().is_ready)
    assert "pulling" in phases
    assert list(dict.fromkeys(phases)) == [
        phase for phase in ("pending", "scheduling", "pulling", "starting", "ready") if phase in phases
    ]
    pid, environment, files, path = json.loads(ask(deployment.url + "/a?b=c"))
    assert (pid, files, path) == (1, [], "/a?b=c")
    assert set(environment) - {"LC_CTYPE"} == {"TRIAL", "PATH", "HOME"} | ({"PYTHONPATH"} & set(os.environ))
    assert messages(deployment.logs()) == ["up"]
    assert deployment.wait_until_ready(timeout=5, poll_interval=1, silent=True).is_ready
    assert "Started" in [event["reason"] for event in client.get_deployment_events(made.instance_name)["events"]]
    assert [d.friendly_name for d in client.list()] == ["trial-1"]
    assert client.get_by_name("trial-1").name == made.instance_name
    deployment.delete()
    until(lambda: gone(client, made))
    with pytest.raises(DeploymentNotFound):
        client.get(made.instance_name)
    with pytest.raises(KeyError):
        deployment.delete()
    (machine,) = stub.machines()
    assert (machine["ended"], machine["processes"]) == ("deleted", 0)


def test_prices_are_strings_per_gpu_and_the_bill_is_by_the_second(stub, client):
    offers = {(o.gpu_type, o.gpu_count): o.hourly_rate for o in client.list_secure_cloud_gpus() if not o.is_spot}
    assert offers["H100", 2] == offers["H100", 8] == "7200.000000"
    before = float(client.get_balance()["balance"])
    made = create(client, gpu_count=2, gpu_models=["H100"], ttl_seconds=1)
    until(lambda: gone(client, made))
    (machine,) = stub.machines()
    assert machine["ended"] == "expired"
    assert machine["gone"] - machine["made"] == pytest.approx(1.0, abs=0.4)
    assert machine["usd"] == pytest.approx(4 * machine["seconds"])
    assert machine["seconds"] == pytest.approx(0.9, abs=0.4)
    assert before - float(client.get_balance()["balance"]) == pytest.approx(machine["usd"], abs=0.01)
    assert float(client.list_usage_history()["rentals"][0]["current_cost"]) == pytest.approx(machine["usd"], abs=0.01)


def test_the_list_lags_and_a_name_is_no_key(stub, client):
    one, two = create(client, "twin", "import time; time.sleep(60)"), create(client, "twin")
    assert one.instance_name != two.instance_name
    assert client.list_deployments().total == 0
    assert client.get_deployment(two.instance_name).friendly_name == "twin"
    until(lambda: client.list_deployments().total == 2)
    until(lambda: client.get(one.instance_name).status().is_ready)
    for deployment in (one, two):
        client.delete_deployment(deployment.instance_name)
    until(lambda: client.get(one.instance_name).state == "Terminating")  # number 1 ignores SIGTERM by default
    until(lambda: stub.orphans() == 0)


def test_a_command_that_ends_runs_again_in_an_empty_folder(stub, client):
    made = create(client, code="import os; print(os.listdir('.'), flush=True); open('left', 'w'); os._exit(3)")
    status = client.get(made.instance_name).status
    waiting = until(lambda: (s := status()) and s.container_statuses and s.container_statuses[0].reason and s)
    assert (waiting.state, waiting.phase, waiting.container_statuses[0].reason) == (
        "Pending", "starting", "CrashLoopBackOff",
    )  # fmt: skip
    until(lambda: status().phase_progress >= 1)
    assert messages(client.get_deployment_logs(made.instance_name)) in ([], ["[]"])
    assert stub.machines()[0]["exit_code"] == 3


def test_bodies_are_streamed_both_ways(stub, client):
    made = create(client)
    body = os.urandom(1 << 20) * 32
    want = f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
    assert ask(made.url + "/") and ask(made.url + "/in", body, "PUT") == want
    line = http.client.HTTPConnection(made.url.split("/")[2])
    line.request("PUT", f"/d/{made.instance_name}/in", iter([body[:1000], body[1000:]]), encode_chunked=True,
                 headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert line.getresponse().read() == want
    assert ask(made.url + "/stream") == b"step" * 3
    assert len(ask(made.url + "/big=40000000")) == 40_000_000
    peak = Path(f"/proc/{stub.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    assert int(peak) < 60_000  # KiB: nothing was held whole


def test_a_private_deployment_wants_its_share_token(client):
    made = create(client, public=False)
    assert made.share_token and made.share_token in made.share_url
    assert ask(made.share_url)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(made.url)


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        ({"do": "answer", "status": 400, "message": "bad order"}, ValueError, "bad order"),
        ({"do": "answer", "status": 429}, RuntimeError, "Rate limit exceeded"),
        ({"do": "answer", "status": 429, "headers": {"Retry-After": "9"}}, RuntimeError, "^Rate limit exceeded$"),
        ({"do": "answer", "status": 500}, RuntimeError, "Internal server error"),
        ({"do": "answer", "status": 503}, RuntimeError, "Service temporarily unavailable"),
        ({"do": "answer", "status": 502, "body": "<html>"}, RuntimeError, "502 Bad Gateway: <html>"),
        ({"do": "stock_out"}, RuntimeError, "No GPU nodes available"),
        ({"do": "hang", "s": 0.3}, ConnectionError, "connection closed before message completed"),
    ],
)
def test_a_refused_create_makes_nothing(shared, rule, error, words):
    stub, client = shared
    stub.misbehave("POST /deployments", **rule)
    with pytest.raises(error, match=words):
        create(client, "refused")
    assert not stub.machines("refused")


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"do": "lose"}, ConnectionError),
        ({"do": "lose_500"}, RuntimeError),
        ({"do": "garbage"}, ConnectionError),
        ({"do": "garbage", "body": "{}"}, ConnectionError),
        ({"do": "cut"}, ConnectionError),
    ],
)
def test_a_create_whose_answer_is_bad_made_a_machine_all_the_same(shared, rule, error):
    stub, client = shared
    name = f"lost-{len(stub.machines())}"
    stub.misbehave("POST /deployments", **rule)
    with pytest.raises(error):
        create(client, name)
    assert until(lambda: [d for d in client.list_deployments().deployments if d.friendly_name == name])
    client.delete_deployment(stub.machines(name)[0]["id"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One stub for the tests that leave nothing behind in it."""
    with BasilicaStub(tmp_path_factory.mktemp("shared"), **FAST) as stub:
        yield stub, basilica.BasilicaClient(stub.url, stub.token)


def test_stock_is_of_gpus_and_models(stub, client):
    stub.admin(stock={"A100": 3, "H100": 0})
    assert {(o.gpu_type, o.gpu_count) for o in client.list_secure_cloud_gpus()} == {("A100", 1), ("A100", 2)}
    create(client, gpu_count=2)
    with pytest.raises(RuntimeError, match="No GPU nodes available matching requirements: 2x A100/H100"):
        create(client, gpu_count=2, gpu_models=["A100", "H100"])
    with pytest.raises(ValueError, match="GPU model list cannot be empty"):
        create(client, gpu_models=[])
    assert len(stub.machines()) == 1


def test_a_price_may_change_between_the_list_and_the_create(stub, client):
    stub.misbehave("POST /deployments", "change", change={"prices": {"A100": 9000.0}})
    assert {o.hourly_rate for o in client.list_secure_cloud_gpus() if o.gpu_type == "A100" and not o.is_spot} == {
        "3600.000000"
    }
    create(client)
    assert stub.machines()[0]["usd_per_hour"] == 9000.0


def test_without_money_or_a_valid_token_nothing_is_made(stub, client):
    stub.admin(balance=9.0)
    with pytest.raises(RuntimeError, match=r"Current balance: 9.00, Required minimum: 10"):
        create(client)
    stub.admin(token="new")
    with pytest.raises(PermissionError, match="Token has been revoked"):
        client.list_deployments()
    with pytest.raises(PermissionError, match="invalid token"):
        basilica.BasilicaClient(stub.url, "never").list_deployments()
    assert "revoked" in client.get_deployment_logs("any")  # the SDK takes a refusal for the log
    assert not stub.machines()


def test_a_preempted_machine_is_warned_then_killed_then_shown_as_failed(stub, client):
    made = create(client)
    ask(made.url)
    stub.strike(preempt_s=0, warning_s=1.0)
    status = client.get(made.instance_name).status
    failed = until(lambda: (s := status()).is_failed and s)
    assert (failed.container_statuses[0].reason, failed.message) == ("Preempted", None)
    assert messages(client.get_deployment_logs(made.instance_name)) == ["up", "warned"]
    (machine,) = stub.machines()
    assert (machine["ended"], machine["processes"], machine["alive"]) == ("preempted", 0, True)
    time.sleep(0.1)
    assert stub.machines()[0]["usd"] == machine["usd"]


def test_a_preempted_deployment_may_start_from_nothing_on_another_node(stub, client):
    stub.admin(boot_s=0.3)
    stub.doom(preempt_s=0.2, preempt_ends="moved")
    made = create(client)
    moved = until(lambda: (d := client.get_deployment(made.instance_name)).pods[0].name.endswith("-1") and d)
    assert (moved.state, moved.replicas.ready, moved.phase_progress) == ("Pending", 0, 0)
    assert json.loads(ask(made.url))[2] == []
    (machine,) = stub.machines()
    assert (machine["runs"], machine["ended"], machine["alive"]) == (2, "", True)


def test_a_machine_may_go_without_a_word(stub, client):
    stub.doom("a", preempt_s=0.2, preempt_ends="gone")
    stub.doom("b", vanish_s=0.2)
    made = [create(client, "a"), create(client, "b")]
    for deployment in made:
        until(lambda d=deployment: gone(client, d))
    assert [(m["ended"], m["processes"]) for m in stub.machines()] == [("preempted", 0), ("vanished", 0)]
    assert "warned" not in client.get_deployment_logs(made[0].instance_name)


def test_a_machine_may_never_run(stub, client):
    stub.doom("image", fail="ImagePullBackOff")
    stub.doom("slow", provision_s=1e9)
    image, slow = create(client, "image"), create(client, "slow")
    failed = until(lambda: (s := client.get(image.instance_name).status()).is_failed and s)
    assert failed.container_statuses[0].reason == "ImagePullBackOff"
    assert client.get_deployment_events(slow.instance_name)["events"][0]["reason"] == "FailedScheduling"
    assert client.get(slow.instance_name).status().is_pending
    assert stub.usd == 0.0


def test_it_may_be_told_of_wrongly(stub, client):
    stub.doom(show={"state": "Hibernating", "phase": "warp"})
    made = create(client)
    status = client.get(made.instance_name).status()
    assert (status.state, status.phase) == ("Hibernating", "warp")
    assert not status.is_ready and not status.is_failed and not status.is_pending
    ask(made.url)
    lie = {"state": "Active", "phase": "ready", "replicas": {"desired": 1, "ready": 1}}
    stub.strike(vanish_s=0, ghost_s=0.8, show=lie)
    stub.wait_for(alive=False)
    assert client.get(made.instance_name).status().is_ready
    assert until(lambda: client.list_deployments().deployments)[0].state == "Active"
    until(lambda: gone(client, made))


def test_logs_and_bodies_break_in_the_middle(stub, client):
    made = create(client)
    ask(made.url)
    stub.misbehave("GET /deployments/.*/logs", "cut", after=20, times=2)
    for follow in (False, True):
        with pytest.raises(RuntimeError, match="Failed to read response"):
            client.get_deployment_logs(made.instance_name, follow=follow)
    stub.misbehave("GET /d/.*/big.*", "cut", after=1000)
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(made.url + "/big=5000")
    assert len(broken.value.partial) == 1000
    stub.misbehave("PUT /d/.*", "cut_upload", after=3000)
    with pytest.raises((ConnectionError, urllib.error.URLError, http.client.HTTPException)):
        ask(made.url + "/in", b"x" * 5000, "PUT")
    until(lambda: "got 3000" in messages(client.get_deployment_logs(made.instance_name)))
    stub.strike(vanish_s=0.7)
    assert messages(client.get_deployment_logs(made.instance_name, follow=True))[0] == "up"
    assert stub.machines()[0]["ended"] == "vanished"


def test_a_deletion_may_fail_twice_and_take_effect_late(stub, client):
    stub.doom(delete_fails=2, delete_late_s=0.4)
    made = create(client)
    ask(made.url)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="failed to delete"):
            client.delete_deployment(made.instance_name)
    asked = time.time()
    assert client.delete_deployment(made.instance_name).state == "Terminating"
    assert client.get(made.instance_name).status().is_ready
    until(lambda: gone(client, made))
    assert stub.machines()[0]["gone"] - asked > 0.39
    assert stub.admin()["calls"]["DELETE /deployments/ID"] == 3


def test_a_slow_answer_does_not_hold_up_the_others(stub, client):
    stub.misbehave("GET /billing/balance", "late", s=0.8)
    slow = threading.Thread(target=client.get_balance)
    slow.start()
    start = time.monotonic()
    client.list_deployments()
    assert time.monotonic() - start < 0.6
    slow.join()


def test_chance_is_the_same_with_the_same_seed(shared):
    stub, client = shared
    seen = []
    for _ in range(2):
        stub.misbehave("GET /deployments/nobody", "answer", status=500, times=99, chance=0.5, seed=3)
        seen.append([])
        for _ in range(12):
            with pytest.raises((RuntimeError, KeyError)) as why:
                client.get_deployment("nobody")
            seen[-1].append(why.type)
        stub.behave()
    assert seen[0] == seen[1] and len(set(seen[0])) == 2


AGE = f"600.{os.getpid()}"
ESCAPE = f"import os, time; os.fork() or (os.setsid(), os.chdir('/')); print(1, flush=True); time.sleep({AGE})"


def sleepers():
    """Living processes of ESCAPE."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and AGE.encode() in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
    return found


@pytest.mark.parametrize("end", ["deletion", "closing", "SIGKILL"])
def test_nothing_of_a_machine_outlives_it(tmp_path, end):
    before = sleepers()
    with BasilicaStub(tmp_path / "cloud", **FAST) as stub:
        if not stub.admin()["trees"]:
            pytest.skip("this host has no process namespaces")
        client = basilica.BasilicaClient(stub.url, stub.token)
        made = create(client, code=ESCAPE)
        until(lambda: len(messages(client.get_deployment_logs(made.instance_name))) == 2)
        assert len(sleepers() - before) >= 2
        if end == "deletion":
            client.delete_deployment(made.instance_name)
            until(lambda: not sleepers() - before)
        elif end == "SIGKILL":
            os.kill(stub.process.pid, signal.SIGKILL)
    until(lambda: not sleepers() - before)


def test_without_namespaces_a_machine_is_told_another_port(tmp_path):
    with BasilicaStub(tmp_path / "cloud", namespaces=False, **FAST) as stub:
        client = basilica.BasilicaClient(stub.url, stub.token)
        made = create(client)
        assert "OVERNIGHT_PORT_OVERRIDE" in json.loads(ask(made.url))[1]
        client.delete_deployment(made.instance_name)
        until(lambda: stub.orphans() == 0)
