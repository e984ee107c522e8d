"""Declares the policies of this package to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def policies() -> dict[str, str]:
    """See core.hookspecs."""
    return {
        "hybrid": "overnight_policy_hybrid.hybrid:HybridPolicy",
        "replay": "overnight_policy_hybrid.replay:ReplayPolicy",
    }


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_policy_hybrid.conf"]
