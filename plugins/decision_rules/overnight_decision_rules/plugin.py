"""Declares the decision rules to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def decisions() -> dict[str, str]:
    """See core.hookspecs."""
    return {
        "climb": "overnight_decision_rules.climb:Climb",
        "greedy": "overnight_decision_rules.greedy:Greedy",
        "margin": "overnight_decision_rules.margin:Margin",
        "paired": "overnight_decision_rules.paired:Paired",
        "repeat": "overnight_decision_rules.repeat:Repeat",
    }


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_decision_rules.conf"]
