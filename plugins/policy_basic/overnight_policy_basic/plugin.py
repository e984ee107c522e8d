"""Declares the policies `random` and `grid` to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def policies() -> dict[str, str]:
    """See core.hookspecs."""
    return {
        "random": "overnight_policy_basic.random_search:RandomSearch",
        "grid": "overnight_policy_basic.grid:GridSearch",
    }


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_policy_basic.conf"]
