"""Declares the rewards for mathematics to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def rewards() -> dict[str, str]:
    """See core.hookspecs."""
    return {
        "exact_match": "overnight_rewards_math.exact_match:ExactMatch",
        "format": "overnight_rewards_math.format:Format",
        "length_penalty": "overnight_rewards_math.length_penalty:LengthPenalty",
        "math_verify": "overnight_rewards_math.math_verify:MathVerify",
    }
