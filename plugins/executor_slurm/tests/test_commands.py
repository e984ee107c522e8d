"""Slurm's commands, told apart by what real ones said; here small scripts stand in their place."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core import Ambiguous, Job, NotYet, OutOfStock, Resources, SetupError
from core.plugins import discover
from overnight_executor_slurm import order
from overnight_executor_slurm.commands import Slurm, SlurmError

_SINFO = "ov1|spot*|idle|4|4000|1:00:00|REQUEUE|(null)|gpu:a100:2"


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """says(program, body): a program of Slurm's that runs these lines of shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def _says(program: str, body: str) -> None:
        (folder / program).write_text(f'#!/bin/sh\necho "$@" >> {folder}/{program}.calls\n{body}\n')
        (folder / program).chmod(0o755)

    _says.calls = lambda program: (folder / f"{program}.calls").read_text().splitlines()  # type: ignore[attr-defined]
    return _says


def slurm(timeout_s: float = 20.0, every_s: float = 60.0) -> Slurm:
    return Slurm(timeout_s, every_s, "gpu")


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("Socket timed out on send/recv operation", Ambiguous),
        ("Zero Bytes were transmitted or received", Ambiguous),
        ("Unable to contact slurm controller (connect failure)", SlurmError),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", OutOfStock),
        ("Slurm temporarily unable to accept job, sleeping and retrying", OutOfStock),
        ("Required partition not available (inactive or drain)", OutOfStock),
        ("Requested node configuration is not available", SetupError),
        ("Invalid account or account/partition combination specified", SetupError),
        ("Invalid partition name specified", SetupError),
    ],
)
def test_what_sbatch_says_decides_whether_a_job_may_exist(says, said: str, meaning: type[Exception]) -> None:
    says("sbatch", f'echo "sbatch: error: Batch job submission failed: {said}" >&2; exit 1')
    with pytest.raises(Exception) as caught:
        slurm().submit([], Path("batch.sh"), {})
    assert isinstance(caught.value, meaning)
    assert not isinstance(caught.value, Ambiguous) or meaning is Ambiguous


@pytest.mark.parametrize("body", ["kill -9 $$", "exec sleep 20", "exit 0", "echo Submitted", "exit 1"])
def test_without_an_answer_nobody_knows(says, body: str) -> None:
    says("sbatch", body)
    with pytest.raises(Ambiguous):
        slurm(timeout_s=1.0).submit([], Path("batch.sh"), {})


def test_an_answer_may_name_the_cluster_too(says) -> None:
    says("sbatch", "echo '17;tiger'")
    assert slurm().submit([], Path("batch.sh"), {}) == "17"


def test_sbatch_sees_what_it_passes_on_and_nothing_of_an_allocation_around_us(
    says,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    says("sbatch", f"env > {tmp_path}/env; echo 1")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("SLURM_CONF", "/somewhere/slurm.conf")
    slurm().submit([], Path("batch.sh"), {"OMP_NUM_THREADS": "2"})
    env = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert env.keys() - {"PWD", "SHLVL", "_", "OLDPWD"} <= {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LD_LIBRARY_PATH", "SLURM_CONF", "OMP_NUM_THREADS")
    }
    assert (env["SLURM_CONF"], env["OMP_NUM_THREADS"]) == ("/somewhere/slurm.conf", "2")


def test_looks_that_come_soon_after_another_share_one_listing(says) -> None:
    says("squeue", "echo '5|RUNNING|ov1|0:01|N/A|wrap|(null)|None|/w'")
    one = slurm()
    assert [record.id for record in one.queue()] == ["5"]
    one.queue()
    assert len(says.calls("squeue")) == 1
    one.queue(fresh=True)
    one.forget()
    one.queue()
    assert len(says.calls("squeue")) == 3
    assert f"--user={os.getuid()}" in says.calls("squeue")[0]


def test_a_controller_that_is_away_is_an_error(says) -> None:
    says("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1")
    with pytest.raises(SlurmError, match="connect failure"):
        slurm().queue()


def test_a_job_that_is_gone_cannot_be_cancelled_and_that_is_well(says) -> None:
    says("scancel", "echo 'scancel: error: Kill job error on job id 6: Invalid job id specified' >&2; exit 1")
    slurm().cancel(["6"])
    says("scancel", "echo 'scancel: error: Kill job error on job id 6: Access/permission denied' >&2; exit 1")
    with pytest.raises(SlurmError, match="denied"):
        slurm().cancel(["6"])


def test_without_slurm_or_its_configuration_the_person_is_told_what_to_do(
    says, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def executor():
        return discover().build("executor", {"name": "slurm"}, workspace=tmp_path / "work")

    says("sinfo", "echo 'sinfo: fatal: Could not establish a configuration source' >&2; exit 1")
    with pytest.raises(SetupError, match="SLURM_CONF"):
        executor().offers(Resources())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="login node"):
        executor().offers(Resources())
    (found,) = executor().diagnose()
    assert "no sbatch" in found.said


def test_a_refused_job_leaves_nothing_and_a_taken_one_is_remembered(says, tmp_path: Path) -> None:
    says("sinfo", f"echo '{_SINFO}'")
    says("sbatch", "echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy' >&2; exit 1")
    settings = {"account": "ml", "qos": "low", "exclude": "ov7", "extra": ["--reservation=night"], "confine": "off"}
    settings |= {"name": "slurm", "python": "/opt/python"}
    executor = discover().build("executor", settings, workspace=tmp_path / "work")
    (tmp_path / "work").mkdir()
    token = "s/1/train/a1"
    job = Job(token, "s", ("python", "-V"), resources=Resources(1.5, 2, "A100", 1.5), deadline_s=600.0, grace_s=10.0)
    with pytest.raises(OutOfStock):
        executor.submit(job, token)
    assert executor.find(token) is None
    assert not list((tmp_path / "work").glob("s_*"))
    says("sbatch", "echo 42")
    handle = executor.submit(job, token)
    assert handle.data == {"job": "42"}
    assert executor.submit(job, token) == executor.find(token) == handle
    assert len(says.calls("sbatch")) == 2
    said = says.calls("sbatch")[-1].split()
    assert {"--no-requeue", "--gres=gpu:a100:2", "--cpus-per-task=2", "--mem=1536M", "--time=13", "--account=ml"} <= {
        *said
    }
    assert {"--qos=low", "--exclude=ov7", "--reservation=night", "--export=ALL"} <= {*said}
    (script,) = (tmp_path / "work").glob("s_*/batch.sh")
    assert "/opt/python -I -S" in script.read_text()


def job_of(token: str, **more) -> Job:
    return Job(token, "s", ("python", "-V"), deadline_s=600.0, **more)


@pytest.fixture
def build(says, tmp_path: Path):
    """build() → an executor whose cluster takes every job."""
    says("sinfo", f"echo '{_SINFO}'")
    says("sbatch", "echo 42")
    return lambda **options: discover().build(
        "executor", {"name": "slurm", "confine": "off", **options}, workspace=tmp_path / "work"
    )


def completing(says, owner: str, token: str, folder: Path) -> None:
    line = f"42|COMPLETING|ov1|0:16|N/A|{order.job_name(owner, token)}|overnight {token}|None|{folder}"
    says("squeue", f"echo '{line}'")


def test_a_job_that_slurm_clears_up_after_for_long_is_gone_once_its_supervisor_says_so(
    says, build, tmp_path: Path
) -> None:
    """A slow epilog, or a node that died after the job's end."""
    executor = build()
    says("scancel", "")
    token = "s/1/train/a1"
    handle = executor.submit(job_of(token), token)
    place = tmp_path / "work" / handle.id
    completing(says, "s", token, place)
    with pytest.raises(NotYet):
        executor.cancel(handle, 0.0)
    (place / "exit.json").write_text('{"exit_code": 0, "reason": "", "seconds": 1.0, "gone": false}')
    with pytest.raises(NotYet):
        executor.cancel(handle, 0.0)
    (place / "exit.json").write_text('{"exit_code": 0, "reason": "", "seconds": 1.0, "gone": true}')
    executor.cancel(handle, 0.0)
    assert not place.exists()
    executor.cancel(handle, 0.0)
    assert executor.reap("s", ()).tokens == ()


def test_reap_takes_what_slurm_clears_up_after_and_does_not_wait_for_ever(
    says, build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = build()
    says("scancel", "")
    token = "s/1/train/a1"
    handle = executor.submit(job_of(token), token)
    place = tmp_path / "work" / handle.id
    completing(says, "s", token, place)
    monkeypatch.setattr("overnight_executor_slurm.executor._REAP_S", 0.0)
    with pytest.raises(SlurmError, match="still there"):
        executor.reap("s", ())
    (place / "exit.json").write_text('{"exit_code": 0, "reason": "", "seconds": 1.0, "gone": true}')
    assert executor.reap("s", ()).tokens == (token,)
    assert not place.exists()
    assert build().reap("s", ()).tokens == (token,), "a new controller has no folder to read"


_MIXED = "ov1|spot*|idle|16|64000|1:00:00|OFF|(null)|gpu:a100:2,gpu:1g.5gb:7"


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [([_MIXED], "gpu:1g.5gb:1"), ([_MIXED, _SINFO.replace("ov1", "ov2")], "gpu:1g.5gb:1"), ([_SINFO], "gpu:1"),
     ([_SINFO, _SINFO.replace("ov1", "ov2").replace("a100", "h100")], "gpu:1"),
     ([_SINFO.replace("a100:2", "2,gpu:h100:1")], "gpu:h100:1")],
)  # fmt: skip
def test_a_kind_of_gpu_is_asked_for_where_nobody_could_say_which_a_job_got(
    says, build, nodes: list[str], expected: str
) -> None:
    says("sinfo", "\n".join(f"echo '{node}'" for node in nodes))
    executor = build()
    some = Resources(gpus=1)
    executor.submit(job_of("s/1/train/a1", resources=some), "s/1/train/a1")
    assert f"--gres={expected}" in says.calls("sbatch")[-1].split()
    hardware = f"{expected.split(':')[1]} ×1"
    if expected.count(":") == 2:
        executor.submit(job_of("s/1/test/a1", resources=some, hardware=hardware), "s/1/test/a1")
        assert f"--gres={expected}" in says.calls("sbatch")[-1].split()
        assert hardware in [offer.hardware for offer in executor.offers(some)]


def test_a_kind_that_nobody_knows_is_not_reported_as_one(says, build, tmp_path: Path) -> None:
    executor = build()
    token = "s/1/train/a1"
    handle = executor.submit(job_of(token, resources=Resources(gpus=1)), token)
    place = tmp_path / "work" / handle.id
    (place / "node.json").write_text('{"job": "42", "node": "ov1"}')
    (place / "result.json").write_text("{}")
    (place / "exit.json").write_text('{"exit_code": 0, "reason": "", "seconds": 1.0, "gone": true}')
    assert executor.poll([handle])[0].hardware == "a100 ×1"
    for line in (_MIXED, _SINFO.replace("ov1", "ov2")):
        says("sinfo", f"echo '{line}'")
        assert build().poll([handle])[0].hardware == ""
    says("sinfo", "exit 1")
    assert build().poll([handle])[0].hardware == ""


def test_two_first_submits_at_once_leave_one_whole_set_of_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet, copied = threading.Barrier(2), shutil.copy2

    def copy(source: Path, target: Path) -> None:
        if source.name == "supervisor.py":
            meet.wait(20)  # both are in the middle of it
        copied(source, target)

    monkeypatch.setattr("overnight_executor_slurm.order.shutil.copy2", copy)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(order.ship, [tmp_path / "work"] * 2)
    assert one == other
    assert list((tmp_path / "work").iterdir()) == [one]
    assert {"node.py", "supervisor.py", "files.py"} <= {path.name for path in one.iterdir()}
