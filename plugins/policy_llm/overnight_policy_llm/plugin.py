"""Declares the policies of this package to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def policies() -> dict[str, str]:
    """See core.hookspecs."""
    return {
        "agent": "overnight_policy_llm.agent:AgentPolicy",
        "llm": "overnight_policy_llm.llm:LlmPolicy",
        "llm_diff": "overnight_policy_llm.llm_diff:LlmDiffPolicy",
    }


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_policy_llm.conf"]
