"""Errors that cross the plugin contract: what a plugin may raise and what core makes of it."""


class ContractError(Exception):
    """Base of the errors that plugins and core exchange."""


class InvalidParams(ContractError):
    """Parameters that do not fit the search space; the message says which and why."""


class SetupError(ContractError):
    """A plugin cannot work with this configuration or machine: said before anything is spent.

    Raise it from a plugin's constructor or from `Task.prepare` with a message that names the
    setting to change; core prints the message without a traceback and exits with code 2.
    """


class Ambiguous(ContractError):
    """`Executor.submit` does not know whether the job was created; core resolves it by `find`."""


class OutOfStock(ContractError):
    """`Executor.submit`: there is no such machine just now, and nothing was started; core asks again."""


class BudgetSpent(ContractError):
    """`Purse.reserve`: what is left of the budget does not cover it; a policy goes on without."""


class NotYet(ContractError):
    """`Executor.cancel` has begun but the job is not gone; core calls it again."""
