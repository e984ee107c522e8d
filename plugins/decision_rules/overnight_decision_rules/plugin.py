"""Declares the decision rules `greedy` and `margin` to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def decisions() -> dict[str, str]:
    """See core.hookspecs."""
    return {
        "greedy": "overnight_decision_rules.greedy:Greedy",
        "margin": "overnight_decision_rules.margin:Margin",
    }


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_decision_rules.conf"]
