"""Declares the GRPO tasks to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def tasks() -> dict[str, str]:
    """See core.hookspecs."""
    return {
        "grpo_arithmetic": "overnight_task_grpo.arithmetic.task:GrpoArithmetic",
        "grpo_gsm8k": "overnight_task_grpo.gsm8k.task:GrpoGsm8k",
    }


@hookimpl
def rewards() -> dict[str, str]:
    """See core.hookspecs."""
    return {"correctness": "overnight_task_grpo.gsm8k.correctness:Correctness"}


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_task_grpo.conf"]
