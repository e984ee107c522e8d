"""What goes wrong on a real cluster: preemption, dead nodes, lost answers, a controller that is away."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import Ambiguous, Handle, Job, NotYet, Resources, SetupError

pytestmark = pytest.mark.slow

_NODE = Resources(cpus=4, memory_gb=0.1)
# A training that saves when it is told to end, which takes it a while.
_SAVES = """
import os, signal, sys, time
def save(number, frame):
    time.sleep(0.5)
    os.makedirs('partial', exist_ok=True)
    open('partial/step', 'w').write('7')
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print('up', flush=True)
while True:
    time.sleep(0.1)
"""
_COUNTED = "import time; open('starts.txt', 'a').write('x'); time.sleep({}); open('result.json', 'w').write('{{}}')"
_SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def urgent(cluster: Any, node: str, seconds: float = 1.0) -> str:
    """A job of higher priority that wants all of a node. Returns its number."""
    job: str = cluster.ask(
        *("sbatch", "--parsable", "--partition=urgent", f"--nodelist={node}", "--cpus-per-task=4", "--mem=100M"),
        *("--output=/dev/null", f"--wrap=sleep {seconds}"),
    ).strip()
    assert job.isdigit()
    return job


def remembered(cluster: Any, one: Any) -> list[str]:
    """Numbers of all jobs of a workspace that the controller remembers."""
    listed = cluster.ask("squeue", "-h", "--states=all", "-o", "%i|%Z").splitlines()
    return [line.partition("|")[0] for line in listed if line.partition("|")[2].startswith(str(one.workspace))]


def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, body: str) -> Path:
    """Put a program of this name first on PATH; $REAL is the real one."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    (folder / program).write_text(f"#!/bin/bash\nREAL=/usr/bin/{program}\necho . >> {folder}/{program}.calls\n{body}\n")
    (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / f"{program}.calls"


@pytest.mark.parametrize("partition", ["spot", "abrupt"])
def test_a_preempted_job_says_so_and_its_partial_files_can_be_fetched(
    bench: Callable[..., Any], cluster: Any, tmp_path: Path, partition: str
) -> None:
    """`spot` gives 15 s of notice, which only steps hear of; `abrupt` none but KillWait."""
    one = bench(partition=partition, nodelist="ov1")
    handle = one.start(_SAVES, outputs=("result.json", "partial"), resources=_NODE, grace_s=10.0)
    one.log(handle, b"up")
    began = time.monotonic()
    intruder = urgent(cluster, "ov1", 30)
    seen = one.wait(handle)
    assert (seen.state, seen.reason) == ("preempted", "preempted")
    assert time.monotonic() - began < 14, "it went when it was told, not when its notice was over"
    assert bench(partition=partition).executor.poll([handle])[0] == seen, "for ever, after a restart too"
    assert fetched(one, handle, tmp_path) == "7"
    cluster.ask("scancel", intruder)


def fetched(one: Any, handle: Handle, tmp_path: Path) -> str:
    """What a job had saved."""
    one.executor.fetch(handle, tmp_path / "out")
    return (tmp_path / "out" / "partial" / "step").read_text()


def test_a_job_that_ignores_the_notice_is_preempted_all_the_same(bench: Callable[..., Any], cluster: Any) -> None:
    one = bench(partition="abrupt", nodelist="ov2")
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    handle = one.start(deaf, resources=_NODE, grace_s=60.0)
    one.log(handle, b"up")
    intruder = urgent(cluster, "ov2", 5)
    assert one.wait(handle).state == "preempted"
    cluster.ask("scancel", intruder)


def test_the_job_of_a_dead_node_is_lost_and_its_folder_remains(
    bench: Callable[..., Any], cluster: Any, tmp_path: Path
) -> None:
    one = bench(nodelist="ov2")
    code = "import os, time; os.mkdir('partial'); open('partial/step', 'w').write('3'); print('up', flush=True);"
    handle = one.start(code + "time.sleep(600)", outputs=("partial",))
    one.log(handle, b"up")
    cluster.kill("ov2")
    try:
        seen = one.wait(handle, patience_s=90)
        assert seen.state == "lost"
        assert "NODE_FAIL on ov2" in seen.reason
        assert fetched(one, handle, tmp_path) == "3"
    finally:
        cluster.node("ov2")
        cluster.until(lambda: "idle" in cluster.ask("sinfo", "-h", "-n", "ov2", "-p", "spot", "-o", "%T"))
    one.reap()


@pytest.mark.parametrize(
    "body",
    ["$REAL \"$@\" > /dev/null", "$REAL \"$@\" > /dev/null; kill -9 $$", "$REAL \"$@\" > /dev/null; exec sleep 60",
     "$REAL \"$@\" > /dev/null; echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv "
     "operation' >&2; exit 1"],
    ids=["says-nothing", "is-killed", "hangs", "times-out"],
)  # fmt: skip
def test_a_lost_answer_of_sbatch_makes_no_second_job(
    bench: Callable[..., Any], cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    with monkeypatch.context() as patch:
        made = calls(tmp_path, patch, "sbatch", body)
        one = bench(timeout_s=3.0)
        with pytest.raises(Ambiguous):
            one.start(_COUNTED.format(1))
        handle = one.find()
        assert handle is not None
        assert one.start(_COUNTED.format(1)) == handle
        assert bench().start(_COUNTED.format(1)) == handle
        assert len(made.read_text().split()) == 1
    assert one.wait(handle).state == "succeeded"
    assert remembered(cluster, one) == [handle.data["job"]]
    assert next(one.workspace.glob("*/starts.txt")).read_text() == "x"


def test_a_request_that_never_arrived_is_made_again_after_a_while_only(
    bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        calls(tmp_path, patch, "sbatch", "kill -9 $$")
        one = bench(settle_s=3.0)
        with pytest.raises(Ambiguous):
            one.start(_COUNTED.format(0))
        assert one.find() is None
    with pytest.raises(Ambiguous, match="may still appear"):
        one.start(_COUNTED.format(0))
    time.sleep(3.1)
    assert one.wait(one.start(_COUNTED.format(0))).state == "succeeded"


def test_a_request_that_arrives_very_late_runs_nothing_twice(
    bench: Callable[..., Any], cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sbatch's message is taken for lost, a second one is sent, and then both jobs exist."""
    late = tmp_path / "late.sh"
    with monkeypatch.context() as patch:
        calls(tmp_path, patch, "sbatch", f"printf '%q ' $REAL \"$@\" > {late}; kill -9 $$")
        one = bench(settle_s=0.5)
        with pytest.raises(Ambiguous):
            one.start(_COUNTED.format(4))
    time.sleep(0.6)
    handle = one.start(_COUNTED.format(4))
    cluster.ask("bash", str(late))
    assert one.wait(handle).state == "succeeded"
    cluster.until(lambda: len(remembered(cluster, one)) == 2 and not cluster.ask("squeue", "-h", "-o", "%i"))
    assert next(one.workspace.glob("*/starts.txt")).read_text() == "x"
    assert "has been started before" in next(one.workspace.glob("*/slurm.log")).read_text()
    assert one.executor.poll([handle])[0].state == "succeeded"


def test_a_controller_that_is_away_is_an_error_and_no_jobs_end(bench: Callable[..., Any], cluster: Any) -> None:
    one = bench(timeout_s=30.0)
    handle = one.start("import time; print('up', flush=True); time.sleep(25); open('result.json', 'w').write('{}')")
    one.log(handle, b"up")
    one.wait(handle, "running")
    cluster.away()
    try:
        time.sleep(0.5)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="squeue"):
                one.executor.poll([handle])
        with pytest.raises(RuntimeError, match="failed"):
            one.start(_SLEEP, 2)
    finally:
        cluster.controller()
    cluster.until(lambda: "UP" in cluster.ask("scontrol", "ping"))
    assert one.wait(handle).state == "succeeded"
    assert one.find(2) is None


def test_a_job_that_the_administrator_cancels_is_cancelled(bench: Callable[..., Any], cluster: Any) -> None:
    one = bench()
    handle = one.start(_SLEEP)
    one.log(handle, b"up")
    cluster.ask("scancel", handle.data["job"])
    seen = one.wait(handle)
    assert (seen.state, seen.reason) == ("cancelled", "cancelled by somebody else, with scancel")


def test_a_job_that_is_put_back_into_the_queue_is_lost_and_never_runs_twice(
    bench: Callable[..., Any], cluster: Any
) -> None:
    one = bench()
    handle = one.start(_COUNTED.format(600))
    cluster.until(lambda: list(one.workspace.glob("*/starts.txt")))
    cluster.ask("scontrol", "update", f"JobId={handle.data['job']}", "Requeue=1")
    cluster.ask("scontrol", "requeue", handle.data["job"])
    seen = one.wait(handle)
    assert (seen.state, seen.reason) == ("lost", "Slurm put it back into the queue, and it is not run twice")
    assert next(one.workspace.glob("*/starts.txt")).read_text() == "x"


def test_a_waiting_job_says_what_for_and_can_be_cancelled(bench: Callable[..., Any]) -> None:
    one = bench(nodelist="ov1")
    first = one.start(_SLEEP, resources=_NODE)
    one.wait(first, "running")
    second = one.start(_SLEEP, 2, resources=_NODE)
    end = time.monotonic() + 60
    while (seen := one.executor.poll([second])[0]).reason not in ("queued: Resources", "queued: Priority"):
        assert seen.state == "queued", seen
        assert time.monotonic() < end, seen
        time.sleep(0.1)
    gone(one, second)
    assert one.executor.poll([first])[0].state == "running"


def gone(one: Any, handle: Handle, grace_s: float = 1.0, patience_s: float = 60.0) -> float:
    """Cancel until it is gone; seconds that took."""
    began = time.monotonic()
    while True:
        try:
            one.executor.cancel(handle, grace_s)
        except NotYet:
            assert time.monotonic() - began < patience_s
            time.sleep(0.05)
        else:
            return time.monotonic() - began


def test_a_stopped_supervisor_does_not_keep_a_job_from_being_cancelled(bench: Callable[..., Any]) -> None:
    one = bench()
    handle = one.start(_SLEEP)
    one.log(handle, b"up")
    (known,) = (json.loads(path.read_text()) for path in one.workspace.glob("*/supervisor.json"))
    os.kill(known["pid"], 19)
    assert gone(one, handle, 1.0) < 30
    assert not Path(f"/proc/{known['pid']}/cwd").exists()


def test_slurms_own_limit_is_the_second_guard(bench: Callable[..., Any], cluster: Any) -> None:
    """It is behind deadline and grace, in whole minutes; here it is brought forward by hand."""
    one = bench()
    handle = one.start(_SLEEP, deadline_s=100.0)
    assert cluster.ask("squeue", "-h", "-j", handle.data["job"], "-o", "%l").strip() == "4:00"
    one.log(handle, b"up")
    cluster.ask("scontrol", "update", f"JobId={handle.data['job']}", "TimeLimit=0:01")
    seen = one.wait(handle, patience_s=150)
    assert (seen.state, seen.reason) == ("failed", "deadline")


def test_a_deadline_beyond_the_partitions_limit_is_refused_before_it_waits_for_ever(bench: Callable[..., Any]) -> None:
    with pytest.raises(SetupError, match="allows 60"):
        bench().start(_SLEEP, deadline_s=3600.0)


def test_a_job_whose_prologue_fails_is_told_from_its_own_words(bench: Callable[..., Any]) -> None:
    one = bench(prologue=["no-such-module load cuda || exit 9"])
    handle = one.start(_SLEEP)
    seen = one.wait(handle)
    assert seen.state == "lost"
    assert "it never began" in seen.reason
    assert "no-such-module" in seen.reason
    assert b"no-such-module" in one.executor.logs(handle, 0)[0]


def test_a_killed_controllers_job_is_reaped_by_name_where_its_folder_is_gone(
    bench: Callable[..., Any], cluster: Any, tmp_path: Path
) -> None:
    one = bench()
    handle = one.start(_SLEEP)
    one.log(handle, b"up")
    (place,) = (path.parent for path in one.workspace.glob("*/supervisor.json"))
    place.rename(tmp_path / "elsewhere")
    assert one.reap() == (one.token(),)
    assert not cluster.ask("squeue", "-h", "-o", "%i")


def test_a_job_gets_its_gpus_and_the_prologue_but_no_environment_of_slurms(
    bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-planted-secret")
    monkeypatch.setenv("SLURM_NTASKS", "64")
    one = bench(prologue=["export FROM_THE_PROLOGUE=yes"])
    code = "import json, os; json.dump(dict(os.environ), open('result.json', 'w'))"
    seen = {}
    for number, gpus in ((1, 2), (2, 0)):
        wanted = Resources(gpus=gpus, gpu_type="H100" if gpus else None)
        handle = one.start(code, number, resources=wanted)
        assert one.wait(handle).state == "succeeded"
        seen[number] = json.loads(next(one.workspace.glob(f"*_{number}_train*/result.json")).read_text())
        seen[number]["hardware"] = one.executor.poll([handle])[0].hardware
    assert seen[1]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert seen[2]["CUDA_VISIBLE_DEVICES"] == ""
    assert (seen[1]["hardware"], seen[2]["hardware"]) == ("h100 ×2", "1 CPU core")
    assert seen[1]["FROM_THE_PROLOGUE"] == "yes"
    assert {name for name in seen[1] if name.startswith("SLURM")} <= {"SLURM_JOB_ID", "SLURM_JOB_GPUS"}
    assert "a-planted-secret" not in json.dumps(seen)
    batch = next(one.workspace.glob("*_1_train*/batch.sh")).read_text()
    assert "a-planted-secret" not in batch


def test_offers_are_kinds_of_nodes_and_jobs_can_be_held_to_one(bench: Callable[..., Any]) -> None:
    one = bench(usd_per_hour=2.5)
    some = one.executor.offers(Resources(gpus=1))
    assert {(offer.hardware, offer.available, offer.usd_per_hour) for offer in some} == {
        ("a100 ×1", 2, 2.5),
        ("h100 ×1", 2, 2.5),
    }
    assert [offer.hardware for offer in one.executor.offers(Resources(gpus=1, gpu_type="A100"))] == ["a100 ×1"]
    assert one.executor.offers(Resources(gpus=3)) == []
    assert one.executor.offers(Resources(gpus=1, gpu_type="B200")) == []
    assert one.executor.offers(Resources(memory_gb=5)) == []
    one.executor.offers(Resources(gpus=1))
    caps = one.executor.caps()
    assert (caps.slots, caps.elastic, caps.detached, caps.priced, caps.spot) == (4, True, True, True, True)
    done = ("python", "-c", "open('result.json', 'w').write('{}')")
    job = Job(one.token(), one.owner, done, resources=Resources(gpus=1), hardware="h100 ×1", deadline_s=60.0)
    seen = one.wait(one.executor.submit(job, one.token()))
    assert (seen.state, seen.hardware) == ("succeeded", "h100 ×1")
    assert seen.usd == pytest.approx(seen.seconds * 2.5 / 3600)


def test_what_slurm_does_not_have_is_said_before_anything_starts(bench: Callable[..., Any]) -> None:
    with pytest.raises(SetupError, match="nowhere"):
        bench(partition="nowhere").executor.offers(Resources())
    with pytest.raises(SetupError, match="bogus"):
        bench(extra=["--bogus"]).executor.offers(Resources())


def test_doctor_is_told_of_the_cluster(bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found = bench().executor.diagnose()
    assert [one.level for one in found] == ["ok", "ok", "warn"]
    assert "is UP" in found[0].said
    assert "partition spot: 2 of 2 nodes work; GPUs: 2 a100, 2 h100; 4 of 4 are free; jobs up to 1 h" in found[1].said
    assert "srun ls" in found[2].todo
    (wrong,) = [one for one in bench(partition="nowhere").executor.diagnose() if one.level == "fail"]
    assert "partitions: abrupt, spot, urgent" in wrong.said
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_CONF", "/nonexistent/slurm.conf")
        assert [one.level for one in bench(timeout_s=5.0).executor.diagnose()] == ["fail"]
        patch.setenv("PATH", "/nonexistent")
        (absent,) = bench().executor.diagnose()
    assert "no sbatch" in absent.said
