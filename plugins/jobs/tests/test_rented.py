"""Rented machines of a provider that says yes first: what is out of stock after all, and who is asked next."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from core import Job, OutOfStock, Resources
from core.study.failures import counts_as_retry, retriable
from overnight_jobs.provider import Machine, Program, Quote
from overnight_jobs.rented import executor as rented
from overnight_jobs.rented.settings import RentedSettings


class Provider:
    """Has two kinds of machines; those of `sold_out` never come up."""

    name, lag_s, least_ttl_s = "p", 0.0, 0.0

    def __init__(self) -> None:
        self.kinds, self.sold_out, self.made = ["A100 ×1", "H100 ×1"], {"A100 ×1"}, dict[str, str]()

    def quotes(self, gpu_type: str | None, gpus: int, cpus: float, memory_gb: float | None) -> Sequence[Quote]:
        return [Quote(kind, 1.0 + place) for place, kind in enumerate(self.kinds)]

    def create(self, name: str, tag: str, quote: Quote, program: Program, ttl_s: float) -> str:
        self.made[f"m{len(self.made)}"] = quote.hardware
        return f"m{len(self.made) - 1}"

    def machines(self, tag: str) -> Sequence[Machine]:
        return []

    def machine(self, machine_id: str) -> Machine | None:
        if self.made[machine_id] in self.sold_out:
            return Machine(
                machine_id, machine_id, "gone", reason="stock-out: Failed to provision all possible machines"
            )
        return Machine(machine_id, machine_id, "provisioning")

    def bill(self, machine_id: str) -> float | None:
        return None

    def delete(self, machine_id: str) -> bool:
        return True


def made(tmp_path: Path, provider: Provider) -> rented.RentedExecutor:
    return rented.RentedExecutor(RentedSettings(requirements="none"), tmp_path / ".executor", provider)  # type: ignore[arg-type]


def job(attempt: int) -> Job:
    token = f"s/1/train/a{attempt}"
    return Job(token, "s", ("true",), resources=Resources(gpus=1), deadline_s=60.0, grace_s=1.0)


def test_what_is_out_of_stock_after_all_is_passed_over_and_uses_up_no_retry(tmp_path: Path) -> None:
    provider = Provider()
    executor = made(tmp_path, provider)
    first = executor.submit(job(1), job(1).token)
    (seen,) = executor.poll([first])
    assert (seen.state, seen.reason, seen.usd, seen.seconds) == ("lost", "stock-out", 0.0, 0.0)
    assert retriable(seen) and not counts_as_retry(seen)
    second = executor.submit(job(2), job(2).token)
    assert provider.made == {"m0": "A100 ×1", "m1": "H100 ×1"}
    assert executor.poll([second])[0].state == "provisioning"
    provider.sold_out.add("H100 ×1")
    assert executor.poll([second])[0].reason == "stock-out"
    with pytest.raises(OutOfStock, match=r"A100 ×1: was out of stock, asked for again in \d+ s; H100"):
        executor.submit(job(3), job(3).token)
    assert len(provider.made) == 2


def test_a_kind_that_comes_back_is_asked_for_after_a_pause_that_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, now = Provider(), [time.monotonic()]
    provider.kinds = ["A100 ×1"]
    executor = made(tmp_path, provider)
    monkeypatch.setattr(rented.time, "monotonic", lambda: now[0])
    pauses = []
    for attempt in range(1, 4):
        (seen,) = executor.poll([executor.submit(job(attempt), job(attempt).token)])
        assert seen.reason == "stock-out"
        began = now[0]
        while True:
            try:
                executor.submit(job(9), job(9).token)
                break
            except OutOfStock:
                now[0] += 60
        executor.cancel(executor.find(job(9).token), 0.0)  # type: ignore[arg-type]
        pauses.append(now[0] - began)
    assert pauses == pytest.approx([900, 1800, 3600])


def test_a_restart_does_not_end_over_a_kind_that_nobody_lists_any_more(tmp_path: Path) -> None:
    provider = Provider()
    provider.sold_out.clear()
    made(tmp_path, provider).submit(job(1), job(1).token)
    provider.kinds = []
    (offer,) = made(tmp_path, provider).offers(Resources(gpus=1))
    assert (offer.hardware, offer.usd_per_hour, offer.available) == ("A100 ×1", 1.0, 0)
    assert made(tmp_path, provider).offers(Resources(gpus=2)) == []
