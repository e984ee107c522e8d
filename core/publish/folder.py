"""Publishing into a folder: whole or not at all."""

import os
import shutil
from pathlib import Path

from core.errors import UsageError
from core.publish.bundle import Bundle
from core.report.checkpoint import ADAPTER, CONFIG


def publish_to_folder(bundle: Bundle, target: Path, study: Path, *, overwrite: bool) -> Path:
    """Copy the bundle beside `target`, then rename; returns the absolute folder.

    Raises UsageError when something is in the way or cannot be written.
    """
    target = target.expanduser().absolute()
    _check(target, study.resolve(), overwrite)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        bundle.copy_to(partial)
        if target.exists():
            target.rename(old)
        partial.rename(target)
    except OSError as error:
        if old.exists() and not target.exists():
            old.rename(target)
        said = error.strerror or str(error)
        raise UsageError(f"cannot write {target} ({said}); choose another place with --to PATH") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target


def _check(target: Path, study: Path, overwrite: bool) -> None:
    place = target.resolve()
    if place == study or place in study.parents or (study in place.parents and "trials" in place.parts):
        raise UsageError(f"--to {target} would write over the study itself; choose a folder of its own")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"--to {target} is no folder; choose another name")
    inside = sorted(item.name for item in target.iterdir()) if target.exists() else []
    if not inside:
        return
    shown = ", ".join(inside[:3]) + (" …" if len(inside) > 3 else "")
    if not overwrite:
        raise UsageError(f"{target} is not empty ({shown}); choose another folder, or replace it with --overwrite")
    if not {CONFIG, ADAPTER} & set(inside):
        # --overwrite is for a model that was published before, not for whatever a typing error names.
        raise UsageError(f"{target} holds no model ({shown}), so it is not replaced; choose another folder")
