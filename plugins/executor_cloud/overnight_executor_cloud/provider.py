"""The provider contract, which lives in the library that it shares with other executors."""

from overnight_jobs.provider import (
    CredentialsRefused,
    Lost,
    Machine,
    MachineState,
    Program,
    Provider,
    ProviderError,
    Quote,
    StockOut,
)

__all__ = [
    "CredentialsRefused",
    "Lost",
    "Machine",
    "MachineState",
    "Program",
    "Provider",
    "ProviderError",
    "Quote",
    "StockOut",
]
