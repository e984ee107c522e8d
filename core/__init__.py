"""Overnight's public face for plugin authors: `hookimpl` and the contracts.

    from core import hookimpl, Proposal, PluginConfig

Names are loaded on first use, so that `import core` costs nothing.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "hookimpl":
        from core.marker import hookimpl

        return hookimpl
    if not name.startswith("_"):
        import core.contracts

        if name in core.contracts.__all__:
            return getattr(core.contracts, name)
    raise AttributeError(f"module 'core' has no attribute {name!r}")
