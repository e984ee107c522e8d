"""What `doctor` is told of this machine: what is there, what is in doubt, what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import Diagnosis
from core.contracts import Diagnoses
from overnight_executor_local import diagnosis
from overnight_jobs.far import devices, landlock

Make = Callable[..., Any]


def lines(found: list[Diagnosis], level: str) -> str:
    return "\n".join(f"{one.said} -> {one.todo}" for one in found if one.level == level)


def test_it_can_be_asked_and_starts_nothing(make: Make, tmp_path: Path) -> None:
    executor = make()
    assert isinstance(executor, Diagnoses)
    found = list(executor.diagnose())
    assert lines(found, "fail") == ""
    for word in ("trials at once", "GiB of memory", "GPU", "write"):
        assert any(word in one.said for one in found), word
    assert not (tmp_path / "study").exists()
    assert all(one.todo for one in found if one.level != "ok"), "whatever is not right says what to do"


def test_more_threads_or_memory_than_there_is_are_doubts(make: Make) -> None:
    found = make(slots=devices.cores() + 1, threads_per_slot=1, memory_gb=devices.memory_gb()).diagnose()
    said = lines(found, "warn")
    assert "more threads than cores slow each other down: lower executor.slots" in said
    assert f"{devices.cores() + 1} trials may need more than there is" in said
    assert "no limit on a trial" in lines(make(memory_gb=None).diagnose(), "ok")


def test_gpus_are_named_and_those_that_are_not_there_are_a_failure(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu_names", lambda: ["NVIDIA A100", "NVIDIA H100"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "2 GPUs to hand out (0: NVIDIA A100, 1: NVIDIA H100)" in lines(make().diagnose(), "ok")
    assert "GPUs [7] are to be handed out, and there are 2" in lines(make(gpus=[0, 7]).diagnose(), "fail")
    assert "3 trials at once, 1 GPUs" in lines(make(gpus=[1], slots=3).diagnose(), "warn")
    assert "executor.gpus hides 2" in lines(make(gpus=[]).diagnose(), "warn")
    monkeypatch.setattr(devices, "gpu_names", list)
    assert "no GPU to hand out" in lines(make(gpus=[]).diagnose(), "ok")


@pytest.mark.parametrize(
    ("version", "level", "words"),
    [
        (0, "warn", "trials may write anywhere: this kernel has no Landlock -> Linux 6.2 or newer"),
        (2, "warn", "trials may write anywhere: this kernel has Landlock 2 ->"),
        (4, "ok", "(Landlock 4; signals are not confined, that needs 6)"),
        (7, "ok", "trials write in their own folder and caches only (Landlock 7)"),
    ],
)
def test_what_the_kernel_can_confine_is_said(
    make: Make, monkeypatch: pytest.MonkeyPatch, version: int, level: str, words: str
) -> None:
    monkeypatch.setattr(landlock, "version", lambda: version)
    assert words in lines(make().diagnose(), level)
    assert "executor.confine=off" in lines(make(confine="off").diagnose(), "warn")


def test_without_proc_trials_could_not_be_followed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis.sys, "platform", "darwin")
    assert "what trials start cannot be followed" in lines(make().diagnose(), "fail")
