"""Partial checkpoints: what a lost attempt of training saved is kept for the next one."""

import shutil

from core.contracts import Executor, Handle
from core.study.layout import Layout
from core.worker.spec import PARTIAL


def keep(executor: Executor, handle: Handle, layout: Layout, trial: int) -> bool:
    """Bring the partial checkpoint of a lost attempt into the study directory, if its machine still has it.

    True if there was one; whatever an earlier attempt left stays where this one left nothing.
    """
    incoming = layout.trial(trial) / ".incoming-partial"
    try:
        executor.fetch(handle, incoming)
        found = incoming / PARTIAL
        if not found.is_dir() or not any(found.iterdir()):
            return layout.partial(trial).is_dir()
        target = layout.partial(trial)
        shutil.rmtree(target, ignore_errors=True)
        found.replace(target)
    except Exception:  # noqa: BLE001 - the machine is gone, and anything may be wrong with it; the next attempt says
        return layout.partial(trial).is_dir()  # from where it starts
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return True


def forget(layout: Layout, trial: int) -> None:
    """Training is over: nobody goes on from there."""
    shutil.rmtree(layout.partial(trial), ignore_errors=True)
