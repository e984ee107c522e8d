"""What every study needs of this machine, whatever runs its trials; imports nothing heavy to find out."""

import importlib.util
import netrc
import os
import platform
import re
import shutil
import subprocess
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.contracts import Diagnosis
from core.worker.contexts import cache_dir

_GIB = 2**30
_LITTLE_GB, _FEW_GB = 1.0, 10.0  # a small model's checkpoints; those of a night with a 1B model
_ANSWER_S = 10.0


def look(studies: Path) -> list[Diagnosis]:
    """All findings. studies: the folder in which the next study would be made."""
    return [_python(), *_torch(_gpus()), _disk(studies), _cache(), _sandbox(), _wandb(), _litellm()]


def _python() -> Diagnosis:
    said = f"Python {platform.python_version()}, Overnight {_version('overnight') or 'not installed'}"
    return Diagnosis("ok", f"{said}, {platform.platform(terse=True)}")


def _gpus() -> list[str] | Diagnosis:
    """One line a GPU, or why they cannot be asked."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = ["--query-gpu=name,memory.total,memory.used", "--format=csv,noheader"]
    try:
        ran = subprocess.run([tool, *query], capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Diagnosis("warn", f"nvidia-smi does not answer ({type(error).__name__})", "look at the NVIDIA driver")
    if ran.returncode:
        said = " ".join((ran.stdout + ran.stderr).split())[:200]
        return Diagnosis("warn", f"nvidia-smi: {said}", "look at the NVIDIA driver")
    return [_gpu(line) for line in ran.stdout.splitlines() if line.strip()]


def _gpu(line: str) -> str:
    name, total, used = [part.strip() for part in (line + ", , ").split(",")[:3]]
    return f"{name}, {total} of which {used} are used"


def _torch(gpus: list[str] | Diagnosis) -> list[Diagnosis]:
    if isinstance(gpus, Diagnosis):
        return [gpus, *_torch([])]
    found = [Diagnosis("ok", gpu) for gpu in gpus]
    if (installed := _version("torch")) is None:
        return [
            *found,
            Diagnosis("warn", "torch is not installed: tasks that train with it cannot", "pip install torch"),
        ]
    built = _built_for("torch")
    if gpus and not built:
        said = f"torch {installed} is built for CPUs: it will not see the GPUs"
        return [*found, Diagnosis("warn", said, "install a CUDA build: https://pytorch.org/get-started/locally")]
    if gpus:
        return [*found, Diagnosis("ok", f"torch {installed}, built for {built}")]
    said = f"torch {installed}; no NVIDIA GPU here: local trials train on the CPU"
    return [*found, Diagnosis("ok", said)]


def _built_for(package: str) -> str:
    """What torch was built for ("CUDA 12.8"), read from its source: importing it takes seconds."""
    spec = importlib.util.find_spec(package)
    place = Path(spec.origin).parent / "version.py" if spec and spec.origin else None
    try:
        text = place.read_text(encoding="utf-8") if place else ""
    except OSError:
        text = ""
    for name, shown in (("cuda", "CUDA"), ("hip", "ROCm")):
        if found := re.search(rf"^{name}\b.*?= *'([^']+)'", text, re.MULTILINE):
            return f"{shown} {found[1]}"
    return ""


def _disk(studies: Path) -> Diagnosis:
    existing = next(parent for parent in (studies, *studies.parents) if parent.exists())
    if problem := _unwritable(existing):
        said = f"studies are kept in {studies}, where nothing can be written ({problem})"
        return Diagnosis("fail", said, "choose another place with dir=PATH")
    free = shutil.disk_usage(existing).free / _GIB
    said = f"{free:.0f} GiB free in {studies}, where studies are kept"
    if free < _LITTLE_GB:
        return Diagnosis("fail", said, "make room, or choose another place with dir=PATH")
    if free < _FEW_GB:
        return Diagnosis("warn", said, "enough for small models only; another place: dir=PATH")
    return Diagnosis("ok", said)


def _cache() -> Diagnosis:
    cache = cache_dir()
    existing = next(parent for parent in (cache.absolute(), *cache.absolute().parents) if parent.exists())
    if problem := _unwritable(existing):
        said = f"the cache {cache} cannot be written in ({problem})"
        return Diagnosis("fail", said, "set OVERNIGHT_CACHE to a folder that can")
    return Diagnosis("ok", f"the cache {cache} can be written in")


def _unwritable(folder: Path) -> str:
    """Why nothing can be written there, or "". Tried, since permissions do not tell of read-only mounts."""
    try:
        tempfile.TemporaryDirectory(prefix=".overnight-", dir=folder).cleanup()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _sandbox() -> Diagnosis:
    """Whether bubblewrap starts: some kernels and containers forbid what it needs."""
    tool = shutil.which("bwrap")
    todo = "apt-get install bubblewrap, or trust what a model proposes with sandbox=off"
    if tool is None:
        return Diagnosis("warn", "bubblewrap is not installed: trials with a patch cannot run", todo)
    try:
        asked = [tool, "--ro-bind", "/", "/", "--unshare-all", "true"]
        ran = subprocess.run(asked, capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Diagnosis("warn", f"bubblewrap does not answer ({type(error).__name__})", todo)
    if ran.returncode:
        said = " ".join(ran.stderr.split())[:200]
        todo = "allow user namespaces (sysctl kernel.unprivileged_userns_clone, AppArmor), or sandbox=off"
        return Diagnosis("warn", f"bubblewrap cannot start here ({said}): trials with a patch cannot run", todo)
    return Diagnosis("ok", "bubblewrap works: trials with a patch run in a sandbox")


def _wandb() -> Diagnosis:
    # Of the service only what its users set; whether its tracker is installed, the registry knows.
    mode = os.environ.get("WANDB_MODE", "")
    if mode in ("offline", "disabled", "dryrun"):
        return Diagnosis("ok", f"W&B: {mode}, as WANDB_MODE says")
    if where := _wandb_credentials():
        return Diagnosis("ok", f"W&B: online, with the credentials of {where}")
    return Diagnosis("ok", "W&B: offline, in the study's directory; online after: wandb login")


def _wandb_credentials() -> str:
    """Where they are, or ""; they themselves are not looked at."""
    if os.environ.get("WANDB_API_KEY"):
        return "WANDB_API_KEY"
    host = re.sub(r"^https?://|[/:].*$", "", os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        return str(path) if host in netrc.netrc(path).hosts else ""
    except (OSError, netrc.NetrcParseError):
        return ""


def _litellm() -> Diagnosis:
    if installed := _version("litellm"):
        return Diagnosis("ok", f"litellm {installed}: policies can ask language models")
    return Diagnosis(
        "warn", "litellm is not installed: policies that ask a language model cannot", "pip install litellm"
    )


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
