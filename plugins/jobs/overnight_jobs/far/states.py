"""States: what a supervisor's last words mean for its job.

Standard library only: loaded by path on the far side.
"""

from typing import Any


def ended(report: dict[str, Any], whole: bool) -> tuple[str, int | None, str]:
    """(state, exit code, reason) of a job that left this exit.json. whole: it left a result.json."""
    code, reason = report["exit_code"], report["reason"]
    if reason == "controller-died" and whole:
        # The job wrote its result, last and whole, before the controller's death reached it.
        return "succeeded", (0 if code == 0 else None), ""
    if reason == "controller-died":
        return "lost", code, reason
    if reason == "cancelled":
        return "cancelled", code, reason
    if reason == "" and code == 0 and whole:
        return "succeeded", code, reason
    return "failed", code, reason
