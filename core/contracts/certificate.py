"""A certificate: what fresh training seeds of an incumbent's configuration have shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Certificate:
    """The outcome of certification; only `confirmed` lets anybody speak of an improvement.

    trial: the incumbent that it is about. confirmed: whether the gain passed the test. reason: one
    sentence. gain: mean gain of the fresh seeds over the baseline on the items set aside, in metric
    units, positive is better; low, high: its 90 % interval over seeds and items (the test is
    whether `low` is above 0: one-sided, 5 %). seeds: fresh runs that entered. items: how many were set
    aside. seed_sd: standard deviation of one run's gain between seeds, pooled with what
    was known before. df: degrees of freedom of the interval. The figures are None where there was no test.
    """

    trial: int
    confirmed: bool
    reason: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    items: int = 0
    seed_sd: float | None = None
    df: float | None = None
