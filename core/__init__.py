"""Overnight's public face for plugin authors: `hookimpl`, the contracts, and `recorded_study`, which reads a study.

    from core import hookimpl, Proposal, PluginConfig

Names are loaded on first use, so that `import core` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers of plugins see
    from core.contracts import *  # noqa: F403

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "hookimpl":
        from core.marker import hookimpl

        return hookimpl
    if name == "build_policy":
        return import_module("core.plugins").build_policy
    if name in ("RecordedStudy", "recorded_study"):
        # By name, so that import-linter sees what is true: the public face leads to no room by itself.
        return getattr(import_module("core.recorded"), name)
    if not name.startswith("_"):
        import core.contracts

        if name in core.contracts.__all__:
            return getattr(core.contracts, name)
    raise AttributeError(f"module 'core' has no attribute {name!r}")
