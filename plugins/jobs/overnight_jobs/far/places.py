"""Places: where a confined job may write besides its own folder.

Standard library only: loaded by path on the far side.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

_CACHES = ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "TORCH_HOME", "TRITON_CACHE_DIR")
# What compilers of GPU code keep in the home folder, and the variable that moves it.
_COMPILED = {".triton": ("TRITON_CACHE_DIR", "triton"), ".nv": ("CUDA_CACHE_PATH", "nv")}


def confinement(workspace: Path, place: Path, env: dict[str, str], writable: tuple[str, ...]) -> dict[str, list[str]]:
    """What Landlock is to allow a job in the folder `place`: `folders` to do anything in, `contents`
    whose files may be written to. Changes TMPDIR and compilers' caches in `env` where they must move.

    No folder is allowed that holds the study: its other trials would be writable.
    """
    folders = [place, *_caches(env), *(Path(path).expanduser().absolute() for path in writable)]
    if tmp := private_tmp(workspace, place):
        env["TMPDIR"] = str(tmp)
        folders.append(tmp)
    folders += _temporary()
    contents = [Path("/proc")]
    devices = Path("/dev")
    contents += sorted(devices.iterdir()) if holds(devices, workspace) else [devices]
    return {
        "folders": [str(path) for path in folders if not holds(path, workspace)],
        "contents": [str(path) for path in contents if not holds(path, workspace)],
    }


def private_tmp(workspace: Path, place: Path) -> Path | None:
    """The job's own temporary folder, where the common one holds the study; else None. Outside the
    job's folder, because a socket's path may have 107 characters only."""
    common = Path(tempfile.gettempdir())
    if not holds(common, workspace):
        return None
    return common / f"overnight-{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"


def holds(path: Path, workspace: Path) -> bool:
    """Whether a path leads to a folder that the workspace is in."""
    return workspace.resolve().is_relative_to(path.resolve())


def _temporary() -> list[Path]:
    return list(dict.fromkeys(map(Path, ("/tmp", "/var/tmp", "/dev/shm", tempfile.gettempdir()))))


def _caches(env: dict[str, str]) -> list[Path]:
    home = Path(env.get("HOME") or Path.home())
    general = home / ".cache"
    ours = Path(env.get("OVERNIGHT_CACHE") or general / "overnight")
    found = [general, ours, ours.with_name(ours.name + "-sealed"), *_named(env)]
    for name, (variable, moved) in _COMPILED.items():
        if (home / name).is_dir():
            found.append(home / name)
        else:
            env.setdefault(variable, str(general / moved))
    for path in found:
        with contextlib.suppress(OSError):  # what cannot be made cannot be written in either
            path.mkdir(parents=True, exist_ok=True)
    return found


def _named(env: Mapping[str, str]) -> list[Path]:
    return [Path(os.path.expandvars(env[name])).expanduser().absolute() for name in _CACHES if env.get(name)]
