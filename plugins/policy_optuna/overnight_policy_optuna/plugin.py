"""Declares the policies `tpe`, `gp` and `cmaes` to Overnight."""

from core import hookimpl

overnight_contract = 1


@hookimpl
def policies() -> dict[str, str]:
    """See core.hookspecs."""
    return {
        "tpe": "overnight_policy_optuna.tpe:Tpe",
        "gp": "overnight_policy_optuna.gp:GaussianProcess",
        "cmaes": "overnight_policy_optuna.cmaes:CmaEs",
    }


@hookimpl
def config_dirs() -> list[str]:
    """See core.hookspecs."""
    return ["pkg://overnight_policy_optuna.conf"]
