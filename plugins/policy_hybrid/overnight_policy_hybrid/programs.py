"""Programs: what scores under one program say of another, where trials may carry a patch."""

from collections.abc import Sequence
from dataclasses import dataclass

from core import Scalar
from overnight_policy_hybrid.frame import Point


@dataclass(frozen=True)
class Run:
    """One scored trial: its program (a patch, None = the task's own), its point and its gain."""

    patch: str | None
    point: Point
    gain: float


def offsets(runs: Sequence[Run], base: str | None) -> dict[str | None, float]:
    """For each program that can be compared with `base`: what to add to its gains to make them base's.

    Two programs are compared by the points that both were tried at (a change of the program is tried
    at its parent's parameters): the mean difference there, and from program to program along such
    pairs. Programs without a point in common are left out: nothing is known of the difference.
    """
    tried: dict[str | None, dict[tuple[tuple[str, Scalar], ...], list[float]]] = {}
    for run in runs:
        tried.setdefault(run.patch, {}).setdefault(tuple(sorted(run.point.items())), []).append(run.gain)
    means = {patch: {key: sum(gains) / len(gains) for key, gains in points.items()} for patch, points in tried.items()}
    found: dict[str | None, float] = {base: 0.0}
    waiting = [base]
    while waiting:
        known = waiting.pop(0)
        for other in means:
            common = [key for key in means[other] if key in means.get(known, {})]
            if other not in found and common:
                difference = sum(means[known][key] - means[other][key] for key in common) / len(common)
                found[other] = found[known] + difference
                waiting.append(other)
    return found
