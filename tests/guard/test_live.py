"""The live guard: NaN for two steps and silence end a trial, nothing else does."""

import math

from core.guard.live import LiveGuard
from core.guard.settings import GuardSettings


def test_one_bad_step_is_forgiven_two_in_a_row_are_not() -> None:
    guard = LiveGuard(GuardSettings())
    assert guard.step(1, {"loss": math.nan}, 0.0) is None
    assert guard.step(2, {"loss": 0.1}, 1.0) is None
    assert guard.step(3, {"loss": math.inf}, 2.0) is None
    doomed = guard.step(4, {"grad_norm": math.nan}, 3.0)
    assert doomed is not None
    assert doomed.kind == "not-finite"
    assert "grad_norm is nan at step 4" in doomed.reason


def test_metrics_that_are_not_watched_may_be_anything() -> None:
    guard = LiveGuard(GuardSettings())
    assert all(guard.step(i, {"temperature": math.nan}, i) is None for i in range(5))


def test_silence_counts_from_the_first_step_only() -> None:
    guard = LiveGuard(GuardSettings(stall_s=10))
    assert guard.idle(1e6) is None
    guard.step(1, {}, 100.0)
    assert guard.idle(109.0) is None
    doomed = guard.idle(111.0)
    assert doomed is not None
    assert doomed.kind == "stalled"


def test_switched_off_it_never_stops_anything() -> None:
    guard = LiveGuard(GuardSettings(not_finite_steps=0, stall_s=None))
    assert all(guard.step(i, {"loss": math.nan}, i) is None for i in range(9))
    assert guard.idle(1e9) is None
