"""The ssh executor on one host, a real sshd: what travels, what breaks, what is said."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import Keys, Sshd
from ssh_jobs import eventually, gone, job, token, until

from core import OutOfStock, Resources, SetupError
from core.contracts import Executor
from overnight_executor_ssh.background import spawn
from overnight_jobs.far import processes
from overnight_jobs.far.environment import JOB
from overnight_jobs.far_side import FarGone

_GOOD = "open('result.json', 'w').write('{}')"
Make = Callable[..., Executor]


def test_what_the_host_has_does_not_travel_again(make: Make, sshd: Sshd, tmp_path: Path) -> None:
    executor: Any = make(sshd.keys, hosts=[sshd.name], root=str(tmp_path / "far"))
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "big").write_bytes(os.urandom(3_000_000))
    (tmp_path / "given" / "small").write_text("one")
    transport = executor._hosts[sshd.name].transport
    sent = []
    for number, text in enumerate(("one", "one", "two"), 1):
        (tmp_path / "given" / "small").write_text(text)
        before = transport.sent
        given = job(_GOOD, token(number), files={"given": tmp_path / "given"})
        handle = executor.submit(given, given.token)
        assert until(executor, handle).state == "succeeded"
        sent.append(transport.sent - before)
    assert sent[0] > 3_000_000
    assert sent[1] < 30_000
    assert sent[2] < 30_000


def test_a_fetch_whose_connection_is_cut_leaves_nothing_half_and_is_done_again_whole(
    make: Make, sshd: Sshd, tmp_path: Path
) -> None:
    executor = make(sshd.keys, hosts=[sshd.name], root=str(tmp_path / "far"))
    code = f"open('checkpoint', 'wb').write(b'w' * 150_000_000); {_GOOD}"
    handle = executor.submit(job(code, outputs=("checkpoint",)), token(1))
    assert until(executor, handle).state == "succeeded"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "earlier").write_text("kept until the whole is there")
    fetching = spawn(executor.fetch, handle, tmp_path / "out")
    assert eventually(lambda: any((tmp_path / "far").glob("pack-*")) or fetching.done())
    transport: Any = executor._hosts[sshd.name].transport  # type: ignore[attr-defined]
    assert eventually(lambda: transport.taken > 10_000_000)
    sshd.cut()
    with pytest.raises(FarGone):
        fetching.result(60)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["earlier"]
    found = executor.fetch(handle, tmp_path / "out")
    assert set(found.files) == {"checkpoint", "log.txt"}
    assert (tmp_path / "out" / "checkpoint").stat().st_size == 150_000_000
    assert not list((tmp_path / "far").glob("pack-*"))


def test_a_job_goes_on_while_connections_break_and_a_new_controller_finds_it(
    make: Make, sshd: Sshd, tmp_path: Path
) -> None:
    executor = make(sshd.keys, hosts=[sshd.name], root=str(tmp_path / "far"))
    code = f"import os, time\nwhile not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.05)\n{_GOOD}"
    handle = executor.submit(job(code), token(1))
    until(executor, handle, "running")
    sshd.cut()
    assert executor.poll([handle])[0].state in ("unknown", "running")
    until(executor, handle, "running")
    sshd.stop()
    again = make(sshd.keys, hosts=[sshd.name], root=str(tmp_path / "far"))
    assert again.find(handle.token) == handle
    assert again.poll([handle])[0].state == "unknown"
    sshd.start()
    until(again, handle, "running")
    (tmp_path / "go").touch()
    assert until(again, handle).state == "succeeded"


_STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        os.closerange(0, 3)
        time.sleep(600)
print("up", flush=True)
time.sleep(600)
"""


def test_cancel_leaves_no_process_not_even_a_detached_one(make: Make, sshd: Sshd, tmp_path: Path) -> None:
    executor = make(sshd.keys, hosts=[sshd.name], root=str(tmp_path / "far"))
    handle = executor.submit(job(_STUBBORN), token(1))
    assert eventually(lambda: executor.logs(handle, 0)[0] == b"up\n")

    def alive() -> list[int]:
        return processes.marked(lambda env: env.get(JOB) == token(1))

    assert eventually(lambda: len(alive()) >= 4)
    assert eventually(lambda: gone(executor, handle))
    assert alive() == []
    assert list((tmp_path / "far" / "jobs").iterdir()) == []


def test_nothing_of_this_machines_secrets_reaches_the_host(
    make: Make, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = f"planted-{os.urandom(8).hex()}"
    monkeypatch.setenv("WANDB_API_KEY", secret)
    monkeypatch.setenv("LC_SECRET", secret)
    executor = make(sshd.keys, hosts=[sshd.name], root=str(tmp_path / "far"))
    code = "import os; open('env', 'wb').write(open('/proc/self/environ', 'rb').read() + str(os.environ).encode());"
    handle = executor.submit(job(code + _GOOD, outputs=("env",)), token(1))
    assert until(executor, handle).state == "succeeded"
    texts = [path.read_bytes() for path in (tmp_path / "far").rglob("*") if path.is_file()]
    assert len(texts) > 10
    assert not any(secret.encode() in text for text in texts)


def test_a_host_key_that_is_not_the_known_one_is_refused_with_what_to_do(
    make: Make, sshd: Sshd, tmp_path: Path
) -> None:
    other = Keys(tmp_path / "other")
    other.trust("127.0.0.1", sshd.port)
    executor: Any = make(sshd.keys, hosts=[sshd.name], known_hosts=str(other.known_hosts), root=str(tmp_path / "far"))
    with pytest.raises(SetupError, match=rf"host key is not the one in .*known_hosts.*ssh-keyscan -p {sshd.port}"):
        executor.offers(Resources())
    (found,) = executor.diagnose()
    assert found.level == "fail"
    assert "host key" in found.said
    assert "known_hosts" in found.todo
    assert not (tmp_path / "far").exists()


def test_a_key_that_the_host_does_not_know_is_said(make: Make, sshd: Sshd, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other")
    executor = make(sshd.keys, hosts=[sshd.name], key=str(other.user), root=str(tmp_path / "far"))
    with pytest.raises(SetupError, match=r"does not accept our key.*executor\.key"):
        executor.offers(Resources())
    absent = make(sshd.keys, hosts=[sshd.name], key=str(tmp_path / "nowhere"), root=str(tmp_path / "far"))
    with pytest.raises(SetupError, match="cannot be read"):
        absent.offers(Resources())


def test_files_of_ssh_that_cannot_be_understood_are_said(
    make: Make, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = tmp_path / "known_hosts"
    hosts.write_text("nonsense\n" + sshd.keys.known_hosts.read_text())
    executor: Any = make(sshd.keys, hosts=[sshd.name], known_hosts=str(hosts), root=str(tmp_path / "far"))
    with pytest.raises(SetupError, match=r"Invalid known hosts entry: nonsense.*~/\.ssh/config or .*known_hosts"):
        executor.offers(Resources())
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Port many\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    executor = make(sshd.keys, hosts=[sshd.name], root=str(tmp_path / "far"))
    with pytest.raises(SetupError, match=r"config line 2: Invalid Port.*~/\.ssh/config"):
        executor.offers(Resources())
    (found,) = executor.diagnose()
    assert (found.level, "~/.ssh/config" in found.todo) == ("fail", True)


def test_a_connection_that_breaks_at_the_first_question_says_nothing_of_python(
    make: Make, sshd: Sshd, tmp_path: Path
) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/began; exec sleep 600\n")
    slow.chmod(0o755)
    executor: Any = make(sshd.keys, hosts=[sshd.name], python=str(slow), root=str(tmp_path / "far"))
    asked = spawn(executor.offers, Resources())
    assert eventually((tmp_path / "began").exists)
    sshd.cut()
    with pytest.raises(SetupError, match=r"can be reached: .*the connection broke"):
        asked.result(60)


def test_no_host_and_hosts_that_nobody_can_reach_are_said_before_anything_starts(
    make: Make, sshd: Sshd, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=r"executor\.hosts is empty"):
        make(sshd.keys).offers(Resources())
    nobody: Any = make(sshd.keys, hosts=["me@127.0.0.1:1"])
    with pytest.raises(SetupError, match=r"no host of executor\.hosts can be reached: me@127\.0\.0\.1:1"):
        nobody.offers(Resources())
    assert [found.level for found in nobody.diagnose()] == ["fail"]
    both: Any = make(sshd.keys, hosts=["me@127.0.0.1:1", sshd.name], slots=2, root=str(tmp_path / "far"))
    assert [offer.available for offer in both.offers(Resources())] == [2]
    assert both.caps().slots == 2
    assert [found.level for found in both.diagnose()] == ["fail", "ok", "ok"]


def test_each_host_has_its_own_settings_and_a_price(make: Make, sshd: Sshd, tmp_path: Path) -> None:
    user, _, rest = sshd.name.partition("@")
    address, _, port = rest.partition(":")
    host = {"host": address, "port": int(port), "user": user, "slots": 1, "gpus": [3, 5], "root": str(tmp_path / "far")}
    executor = make(sshd.keys, hosts=[host], usd_per_hour=3600.0, slots=7)
    assert executor.offers(Resources(gpus=1))[0].hardware == "GPU ×1"
    assert executor.offers(Resources(gpus=3)) == []
    assert executor.caps().slots == 1
    assert executor.caps().priced
    code = f"import os; assert os.environ['CUDA_VISIBLE_DEVICES'] == '3,5'; {_GOOD}"
    handle = executor.submit(job(code, resources=Resources(gpus=2)), token(1))
    seen = until(executor, handle)
    assert (seen.state, seen.hardware) == ("succeeded", "GPU ×2")
    assert seen.usd == pytest.approx(seen.seconds)
    with pytest.raises(OutOfStock, match="more than 1"):
        executor.submit(job(_GOOD, token(2), max_usd_per_hour=1.0), token(2))


@pytest.fixture
def own(sshd: Sshd, tmp_path: Path) -> Iterator[Sshd]:
    """An sshd of the test's own, on a machine with one GPU."""
    made = Sshd(tmp_path / "sshd", sshd.keys, "CUDA_VISIBLE_DEVICES=0")
    yield made
    made.stop()


def test_gpus_that_another_study_holds_are_out_of_stock(own: Sshd, make: Make, tmp_path: Path) -> None:
    given = {"hosts": [own.name], "slots": 2, "root": str(tmp_path / "far")}
    one = make(own.keys, **given)
    other = make(own.keys, workspace=tmp_path / "other", **given)
    taken = one.submit(job("import time; time.sleep(600)", resources=Resources(gpus=1)), token(1))
    until(one, taken, "running")
    again = job(_GOOD, token(2), resources=Resources(gpus=1))
    with pytest.raises(OutOfStock, match="0 GPUs are free, 1 are needed"):
        other.submit(again, again.token)
    assert other.find(again.token) is None
    assert eventually(lambda: gone(one, taken))
    assert until(other, other.submit(again, again.token)).state == "succeeded"


@pytest.mark.parametrize("last", ["echo", "printf 'overnight: no line of its own > '"])
def test_a_login_shell_that_talks_does_not_disturb(own: Sshd, make: Make, last: str) -> None:
    (own.folder / ".bashrc").write_text(f"echo Welcome to gpu1; echo '{{\"body\": 3}}'; echo warning >&2; {last}\n")
    executor = make(own.keys, hosts=[own.name])
    handle = executor.submit(job(_GOOD), token(1))
    assert until(executor, handle).state == "succeeded"
    assert (own.folder / ".overnight" / "jobs").is_dir(), "the default is a folder of the home there"


def test_a_login_shell_that_swallows_what_is_printed_is_said(own: Sshd, make: Make) -> None:
    (own.folder / ".bashrc").write_text("exec >/dev/null\n")
    executor = make(own.keys, hosts=[own.name])
    with pytest.raises(SetupError, match=r"does not come back.*echo hello"):
        executor.offers(Resources())
