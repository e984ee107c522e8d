"""What the provider does wrong, and what becomes of the job: one fresh machine, one bill, no orphan."""

import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from basilica_hand import BasilicaStub
from basilica_options import TOKEN

from core import Ambiguous, Handle, Job, NotYet, Observation, OutOfStock, Resources, SetupError
from core.contracts import TERMINAL, Executor
from overnight_executor_cloud.basilica import Basilica
from overnight_jobs import code as bundles
from overnight_jobs.far_side import FarGone, FarSide
from overnight_jobs.provider import ProviderError
from overnight_jobs.rented import executor as rented
from overnight_jobs.rented import records, work

GOOD = "open('result.json', 'w').write('{}')"
SLEEP = "import time; time.sleep(600)"
CREATE = "POST /deployments"
Make = Callable[..., Executor]


def job(code: str = SLEEP, token: str = "c/1/train/a1", **more: Any) -> Job:
    """A job on one GPU that runs Python code."""
    found = {"resources": Resources(gpus=1), "deadline_s": 60.0, "grace_s": 1.0, **more}
    return Job(token, "c", ("python", "-c", code), **found)


def start(executor: Executor, order: Job) -> Handle:
    """Submit a job."""
    return executor.submit(order, order.token)


def wait(executor: Executor, handle: Handle, *states: str, patience_s: float = 40.0) -> Observation:
    """Poll until one of the states (by default any terminal one); the provider's errors are borne."""
    end = time.monotonic() + patience_s
    while True:
        try:
            (seen,) = executor.poll([handle])
            if seen.state in (states or TERMINAL):
                return seen
        except ProviderError:
            seen = Observation(handle.token, "unknown")
        assert time.monotonic() < end, seen
        time.sleep(0.05)


def gone(executor: Executor, handle: Handle) -> int:
    """Cancel until it is gone; how often it was not yet."""
    for count in range(200):
        try:
            executor.cancel(handle, 0.0)
        except (NotYet, ProviderError):
            time.sleep(0.05)
        else:
            return count
    raise AssertionError("it cannot be cancelled")


@pytest.mark.parametrize("answer", ["lose", "lose_500", "garbage", "cut"])
def test_a_create_whose_answer_is_lost_makes_one_machine(make: Make, stub: BasilicaStub, answer: str) -> None:
    executor = make()
    stub.misbehave(CREATE, answer)
    with pytest.raises(Ambiguous):
        start(executor, job())
    assert make().find("c/1/train/a1") is not None, "a new controller finds it too"
    handle = start(executor, job())
    assert wait(executor, handle, "running").state == "running"
    assert len(stub.machines()) == 1


def test_a_create_that_was_never_made_is_made_once(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    stub.misbehave(CREATE, "answer", status=502, message="bad gateway")
    with pytest.raises(Ambiguous):
        start(executor, job())
    assert executor.find("c/1/train/a1") is None
    assert wait(executor, start(executor, job()), "running").state == "running"
    assert len(stub.machines()) == 1


def test_rate_limits_are_no_doubt(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    stub.misbehave(CREATE, "answer", status=429, headers={"Retry-After": "1"})
    with pytest.raises(ProviderError, match="Rate limit"):
        start(executor, job())
    assert executor.find("c/1/train/a1") is None
    assert start(executor, job()).id
    assert len(stub.machines()) == 1


def test_a_kind_that_is_out_of_stock_is_replaced_by_the_next_and_it_is_said(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    stub.misbehave(CREATE, "stock_out")
    handle = start(executor, job())
    assert "no A100 is to be had just now" in handle.data["notice"]
    assert "basilica H100 ×1 at $2.49 an hour" in handle.data["notice"]
    assert wait(executor, handle, "running").hardware == "basilica H100 ×1"
    assert make().find(handle.token) == handle


def test_an_evaluation_waits_for_its_kind_of_machine(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    stub.admin(stock={"A100": 0})
    order = job(hardware="basilica A100 ×1")
    with pytest.raises(OutOfStock, match="no basilica A100 ×1 just now"):
        start(executor, order)
    assert executor.find(order.token) is None
    assert stub.machines() == []
    stub.admin(stock={"A100": 1})
    assert "notice" not in start(executor, order).data


def test_nothing_is_started_at_a_price_that_was_not_reserved(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    stub.admin(prices={"A100": 9.0, "H100": 9.0})
    with pytest.raises(OutOfStock, match="none at a price that was reserved"):
        start(executor, job(max_usd_per_hour=1.29))
    assert stub.machines() == []


def test_a_key_that_is_refused_and_an_empty_account_are_for_a_person(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    stub.admin(balance=1.0)
    with pytest.raises(SetupError, match="add funds"):
        start(executor, job())
    stub.admin(balance=1e6, token="another")
    with pytest.raises(SetupError, match="refuses the key in BASILICA_API_TOKEN"):
        start(executor, job(token="c/2/train/a1"))
    stub.admin(token=TOKEN)


@pytest.mark.parametrize("fault", [{"do": "answer", "status": 503}, {"do": "garbage"}, {"do": "hang", "s": 0.2}])
def test_a_provider_out_of_order_loses_no_job(make: Make, stub: BasilicaStub, fault: dict[str, Any]) -> None:
    executor = make()
    handle = start(executor, job(f"import time; time.sleep(2); {GOOD}"))
    wait(executor, handle, "running")
    stub.misbehave("GET /deployments.*", fault.pop("do"), times=4, **fault)
    with pytest.raises(ProviderError):
        executor.poll([handle])
    assert wait(executor, handle).state == "succeeded"


def test_a_preempted_machine_leaves_what_was_mirrored(make: Make, stub: BasilicaStub, tmp_path: Path) -> None:
    executor = make(mirror_s=0.5)
    code = "import os, time; os.mkdir('partial'); open('partial/step-7', 'w').write('x' * 1000); time.sleep(600)"
    handle = start(executor, job(code, outputs=("result.json", "partial"), mirrored=("partial",)))
    wait(executor, handle, "running")
    end = time.monotonic() + 20
    while not list((tmp_path / "study" / ".executor").glob("*.mirror/partial/step-7")):
        executor.poll([handle])
        assert time.monotonic() < end
        time.sleep(0.1)
    stub.strike("", preempt_s=0)
    seen = wait(executor, handle)
    assert (seen.state, "preempted" in seen.reason.lower()) == ("preempted", True)
    assert set(executor.fetch(handle, tmp_path / "out").files) == {"partial/step-7", "log.txt"}
    gone(executor, handle)


def test_a_machine_that_vanishes_or_starts_again_loses_its_job(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    vanished, moved = start(executor, job()), start(executor, job(token="c/2/train/a1"))
    wait(executor, vanished, "running")
    wait(executor, moved, "running")
    stub.strike(records.name("c", vanished.token), vanish_s=0)
    stub.strike(records.name("c", moved.token), preempt_s=0, preempt_ends="moved")
    assert wait(executor, vanished).state == "lost"
    seen = wait(executor, moved)
    assert seen.state == "lost"
    assert "started again" in seen.reason
    time.sleep(0.3)
    assert executor.poll([moved])[0] == seen, "the end is the end"


def test_a_machine_that_is_not_ready_in_time_is_given_up(make: Make, stub: BasilicaStub) -> None:
    executor = make(provision_s=1.5)
    stub.doom("", fail="ImagePullBackOff")
    failed = start(executor, job())
    assert "ImagePullBackOff" in wait(executor, failed).reason
    stub.doom("", provision_s=30)
    slow = start(executor, job(token="c/2/train/a1"))
    assert wait(executor, slow).reason.startswith("no machine was ready within 1.5 s")


def test_a_program_that_cannot_run_in_the_image_is_told_with_its_last_words(
    make: Make, stub: BasilicaStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        rented.bootstrap, "command", lambda port, python: ("python3", "-c", "raise SystemExit('no python')")
    )
    executor = make()
    seen = wait(executor, start(executor, job()))
    assert seen.state == "lost"
    assert "its program ends again and again" in seen.reason
    assert "no python" in seen.reason


def test_a_deletion_that_fails_is_repeated_and_not_believed_too_early(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    stub.doom("", delete_fails=2, delete_late_s=0.5)
    handle = start(executor, job())
    wait(executor, handle, "running")
    assert gone(executor, handle) >= 2
    assert stub.orphans() == 0


def test_an_answer_that_is_cut_off_on_its_way_is_asked_for_again(
    make: Make, stub: BasilicaStub, tmp_path: Path
) -> None:
    executor = make()
    code = f"import os; os.mkdir('checkpoint'); open('checkpoint/w', 'wb').write(os.urandom(3_000_000)); {GOOD}"
    handle = start(executor, job(code, outputs=("result.json", "checkpoint")))
    assert wait(executor, handle).state == "succeeded"
    stub.misbehave("POST /d/.*", "cut", after=1_000_000)
    with pytest.raises(FarGone):
        executor.fetch(handle, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert set(executor.fetch(handle, tmp_path / "out").files) == {"result.json", "checkpoint/w", "log.txt"}


def test_two_machines_of_one_name_are_one_too_many(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    handle = start(executor, job())
    provider = Basilica("python:3.11-slim", stub.url, lag_s=0.3)
    quote = provider.quotes("A100", 1, 1.0, None)[0]
    twin = provider.create(
        records.name("c", handle.token), records.tag("c"), quote, rented.Program(("sleep", "600")), 60
    )
    executor.reap("c", {handle.token})
    assert {machine["id"] for machine in stub.machines() if machine["alive"]} == {handle.id}
    assert twin != handle.id


def test_a_machine_that_nobody_ever_saw_is_on_the_bill(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    stub.doom("", vanish_s=0.05)
    stub.misbehave(CREATE, "lose")
    with pytest.raises(Ambiguous):
        start(executor, job())
    unseen = stub.wait_for("", ended="vanished", patience_s=20.0)["id"]
    handle = start(executor, job())
    assert handle.id != unseen
    other = start(executor, job(token="c/2/train/a1"))
    gone(executor, other)
    executor.reap("c", {handle.token})
    (bill,) = (machine["usd"] for machine in stub.machines() if machine["id"] == unseen)
    assert bill > 0
    assert make().reap("c", {handle.token}).bills == {unseen: pytest.approx(bill, abs=1e-5)}


def test_what_the_journal_does_not_know_is_deleted_also_without_the_study_s_folder(
    make: Make, stub: BasilicaStub, tmp_path: Path
) -> None:
    start(make(), job())
    start(make(), job(token="c/2/train/a1"))
    assert len(make(tmp_path / "elsewhere").reap("c", ()).tokens) == 2
    assert stub.orphans() == 0


def test_strangers_reach_nothing_on_a_machine(make: Make, stub: BasilicaStub) -> None:
    executor = make()
    handle = start(executor, job())
    wait(executor, handle, "running")
    url = f"{stub.url}/d/{handle.id}/"
    assert httpx.post(url, content=b'{"verb": "facts"}\n', trust_env=False).status_code == 403
    assert httpx.get(url, trust_env=False).status_code == 404


@pytest.mark.slow
def test_without_a_controller_a_machine_ends_at_its_time_to_live(make: Make, stub: BasilicaStub) -> None:
    executor = make(provision_s=5.0, wind_down_s=2.0)
    handle = start(executor, job(deadline_s=3.0))
    wait(executor, handle, "running")
    stub.wait_for("", ended="expired", patience_s=90.0)  # sixty seconds are the provider's least
    assert stub.orphans() == 0


# Mutants of our own code: each must break what the tests above check.


def names_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine does not carry the job's name."""
    create = Basilica.create
    monkeypatch.setattr(
        Basilica, "create", lambda self, name, tag, *more: create(self, f"{tag}-{time.monotonic_ns():x}", tag, *more)
    )


def lag_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first listing is believed."""
    monkeypatch.setattr(rented, "_MARGIN_S", -10.0)


def deletion_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An accepted deletion is taken for done."""

    def delete(self: Basilica, machine_id: str) -> bool:
        self._client().delete_deployment(machine_id)
        return True

    monkeypatch.setattr(Basilica, "delete", delete)


def record_written_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered before the machine is made."""
    write = records.Records.write
    monkeypatch.setattr(records.Records, "write", lambda self, record: write(self, record) if record.machine else None)


def lost_create(make: Make, stub: BasilicaStub) -> int:
    """Machines beyond one of a job whose create was not answered."""
    stub.misbehave(CREATE, "lose")
    executor = make()
    try:
        start(executor, job())
    except Ambiguous:
        executor.find("c/1/train/a1")
        start(make(), job())
    return len(stub.machines()) - 1


def late_deletion(make: Make, stub: BasilicaStub) -> int:
    """Machines that live after their job was cancelled."""
    stub.doom("", delete_late_s=1.0)
    executor = make()
    handle = start(executor, job())
    wait(executor, handle, "running")
    gone(executor, handle)
    return stub.orphans()


MUTANTS = [
    (names_by_chance, lost_create),
    (lag_ignored, lost_create),
    (record_written_late, lost_create),
    (deletion_believed, late_deletion),
]


@pytest.fixture
def clean(stub: BasilicaStub) -> Iterator[None]:
    """Whatever a mutant left is deleted."""
    yield
    for machine in stub.machines():
        if machine["alive"]:
            httpx.delete(f"{stub.url}/deployments/{machine['id']}", headers={"Authorization": f"Bearer {TOKEN}"})
    end = time.monotonic() + 10
    while stub.orphans():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("mutant", "scenario"), MUTANTS, ids=lambda each: each.__name__)
def test_a_mutant_is_caught_and_the_code_itself_passes(
    make: Make,
    stub: BasilicaStub,
    clean: None,
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
    scenario: Callable[[Make, BasilicaStub], int],
) -> None:
    mutant(monkeypatch)
    assert scenario(make, stub) > 0, "this mutant was not caught: the tests cannot fail"


def wheel(folder: Path) -> str:
    """A wheel of one module that holds a value; returns its requirement."""
    folder.mkdir()
    info = "overnight_probe-7.0.dist-info"
    with zipfile.ZipFile(folder / "overnight_probe-7.0-py3-none-any.whl", "w") as archive:
        archive.writestr("overnight_probe.py", "value = 7\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: overnight-probe\nVersion: 7.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return "overnight_probe==7.0"


def test_what_the_image_lacks_is_installed_before_the_job_and_it_is_said(
    make: Make, stub: BasilicaStub, tmp_path: Path
) -> None:
    options = {"pip_args": ["--no-index", "--find-links", str(tmp_path / "wheels")], "provision_s": 90.0}
    executor = make(requirements=[wheel(tmp_path / "wheels"), "torch==99.0"], **options)
    handle = start(executor, job(f"import overnight_probe; print(overnight_probe.value); {GOOD}"))
    reasons = set()
    end = time.monotonic() + 80
    while (seen := executor.poll([handle])[0]).state == "provisioning":
        reasons.add(seen.reason)
        assert time.monotonic() < end, reasons
        time.sleep(0.1)
    assert any(reason.startswith("installing the environment (") for reason in reasons)
    assert wait(executor, handle).state == "succeeded", "torch is the image's"
    assert executor.logs(handle, 0)[0] == b"7\n"
    broken = make(tmp_path / "other", requirements=["no-such-package"], **options)
    lost = wait(broken, start(broken, job(token="c/2/train/a1")), patience_s=80)
    assert lost.state == "lost"
    assert "No matching distribution found for no-such-package" in lost.reason
    gone(broken, Handle("c/2/train/a1", "?"))


class SlowCopies:
    """Makes every copy of a checkpoint take at least some seconds, or until it may end; counts them, and the
    questions that are answered meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, s: float) -> None:
        self.under_way = self.most = self.ended = self.asked = 0
        self.go = threading.Event()
        fetch, poll = FarSide.fetch, FarSide.poll

        def slow(far: FarSide, slug: str, dest: Path, names: Any = ()) -> Any:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            found = fetch(far, slug, dest, names)
            self.go.wait(s)
            self.under_way -= 1
            self.ended += 1
            return found

        def asked(far: FarSide, slugs: Any) -> Any:
            self.asked += self.under_way
            return poll(far, slugs)

        monkeypatch.setattr(FarSide, "fetch", slow)
        monkeypatch.setattr(FarSide, "poll", asked)


COPIED = "import os, time; os.mkdir('partial'); open('partial/step-7', 'w').write('x' * 1000); time.sleep(600)"


def test_a_copy_that_takes_longer_than_silence_loses_no_job(
    make: Make, stub: BasilicaStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copies = SlowCopies(monkeypatch, 5.0)
    executor = make(mirror_s=0.2, silence_s=2.0)
    handle = start(executor, job(COPIED, outputs=("result.json", "partial"), mirrored=("partial",)))
    wait(executor, handle, "running")
    end = time.monotonic() + 40
    while copies.ended < 2:
        assert executor.poll([handle])[0].state == "running"
        assert time.monotonic() < end
        time.sleep(0.1)
    assert copies.most == 1, "one at a time"
    assert copies.asked > 4, "questions do not wait for copies"
    assert list((tmp_path / "study" / ".executor").glob("*.mirror/partial/step-7"))


def test_a_copy_that_ends_after_its_job_was_forgotten_is_dropped(
    make: Make, stub: BasilicaStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copies = SlowCopies(monkeypatch, 60.0)
    executor = make(mirror_s=0.2)
    handle = start(executor, job(COPIED, outputs=("result.json", "partial"), mirrored=("partial",)))
    end = time.monotonic() + 20
    place = tmp_path / "study" / ".executor"
    while not list(place.glob("*.incoming/partial/step-7")):
        executor.poll([handle])
        assert time.monotonic() < end
        time.sleep(0.1)
    gone(executor, handle)
    copies.go.set()
    while list(place.glob("*.incoming")):
        assert time.monotonic() < end + 20
        time.sleep(0.05)
    assert list(place.glob("*.mirror")) == []


def test_a_new_controller_asks_for_as_long_as_any_before_it_gives_an_old_job_up(make: Make, stub: BasilicaStub) -> None:
    handle = start(make(), job())
    wait(make(), handle, "running")
    time.sleep(2.5)
    again = make(provision_s=0.1, silence_s=2.0)
    stub.misbehave("POST /d/.*", "answer", status=503, times=10_000)
    began = time.monotonic()
    assert again.poll([handle])[0].state == "running", "one answer that fails is no silence"
    seen = wait(again, handle)
    assert (seen.state, "does not answer" in seen.reason) == ("lost", True)
    assert time.monotonic() - began > 2.0


def test_what_cannot_be_given_to_a_machine_is_said_before_one_is_rented(
    make: Make, stub: BasilicaStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    executor = make(requirements=str(tmp_path / "absent.txt"))
    with pytest.raises(SetupError, match=r"executor\.requirements: .*absent\.txt cannot be read"):
        executor.offers(Resources(gpus=1))
    with pytest.raises(SetupError, match=r"absent\.txt"):
        start(executor, job())

    def compiled(folder: Path) -> Path:
        raise bundles.NotPure("x.so is compiled code")

    monkeypatch.setattr(bundles, "bundle", compiled)
    with pytest.raises(SetupError, match=r"x\.so is compiled code"):
        make().offers(Resources(gpus=1))
    assert stub.machines() == []


def test_whatever_keeps_a_machine_from_getting_its_job_is_said(
    make: Make, stub: BasilicaStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    error: Exception = KeyError("state")

    def fail(self: work.Machines, far: FarSide) -> str:
        raise error

    monkeypatch.setattr(work.Machines, "_python", fail)
    executor = make()
    handle = start(executor, job())
    end = time.monotonic() + 20
    while "KeyError: 'state'" not in executor.poll([handle])[0].reason:
        assert time.monotonic() < end
        time.sleep(0.1)
    error = SetupError("executor.requirements: write it anew")
    seen = wait(executor, handle)
    assert (seen.state, seen.reason) == ("lost", str(error))
