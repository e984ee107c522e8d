"""The environment of a job: what the hardware needs is let through, and no credential is."""

import pytest

from overnight_jobs.far.environment import job_environment


def test_variables_of_gpus_and_their_network_are_let_through_and_keys_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_TF32_OVERRIDE": "0", "NCCL_DEBUG": "INFO", "NCCL_IB_PKEY": "1"}
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    for name in ("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY", "NVIDIA_NEW", "NCCL_TOKEN", "LC_secret", "LC_PASSWORD"):
        monkeypatch.setenv(name, "a-planted-secret")
    env = job_environment("s/1/train/a1", "s", {}, (), (), 1)
    assert {name: env.get(name) for name in kept} == kept
    assert "a-planted-secret" not in env.values()
    assert job_environment("s/1/train/a1", "s", {}, ["NVIDIA_API_KEY"], (), 1)["NVIDIA_API_KEY"] == "a-planted-secret"
