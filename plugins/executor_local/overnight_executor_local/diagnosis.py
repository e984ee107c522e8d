"""What this machine gives to local jobs, and what its kernel can hold them to; found out without starting one."""

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from core import Diagnosis
from overnight_executor_local.config import LocalConfig
from overnight_jobs.far import devices, landlock

_LITTLE_GB = 1.0  # of memory for one job: an interpreter with torch takes half of it
_OLDEST_KERNEL = (6, 2)
_SIGNALS = 6  # the first version of Landlock that confines signals


def diagnose(config: LocalConfig, gpus: Sequence[int], slots: int, threads: int) -> list[Diagnosis]:
    """All findings. gpus: ids to hand out. slots: jobs at once. threads: of each."""
    return [_slots(slots, threads), _memory(config, slots), *_gpus(gpus, slots), _confinement(config), *_kernel()]


def _slots(slots: int, threads: int) -> Diagnosis:
    cores = devices.cores()
    said = f"{slots} trials at once, {threads} {'thread' if threads == 1 else 'threads'} each, on {cores} cores"
    if slots * threads > cores:
        return Diagnosis("warn", said, "more threads than cores slow each other down: lower executor.slots")
    return Diagnosis("ok", said)


def _memory(config: LocalConfig, slots: int) -> Diagnosis:
    whole = devices.memory_gb()
    if config.memory_gb is None:
        return Diagnosis("ok", f"{whole:.1f} GiB of memory, no limit on a trial")
    each = 0.9 * whole / slots if config.memory_gb == "auto" else config.memory_gb
    said = f"{whole:.1f} GiB of memory, at most {each:.1f} a trial"
    if each * slots > whole:
        return Diagnosis(
            "warn", f"{said}: {slots} trials may need more than there is", "lower executor.memory_gb or slots"
        )
    if each < _LITTLE_GB:
        return Diagnosis("warn", said, "lower executor.slots")
    return Diagnosis("ok", said)


def _gpus(gpus: Sequence[int], slots: int) -> list[Diagnosis]:
    names = devices.gpu_names()
    if not gpus:
        hidden = f": CUDA_VISIBLE_DEVICES or executor.gpus hides {len(names)}" if names else ""
        return [Diagnosis("warn" if hidden else "ok", f"no GPU to hand out{hidden}")]
    unknown = [gpu for gpu in gpus if gpu >= len(names)]
    if unknown:
        said = f"GPUs {unknown} are to be handed out, and there are {len(names)}"
        return [Diagnosis("fail", said, "correct executor.gpus or CUDA_VISIBLE_DEVICES")]
    shown = ", ".join(f"{gpu}: {names[gpu]}" for gpu in gpus)
    found = [Diagnosis("ok", f"{len(gpus)} GPUs to hand out ({shown})")]
    if slots > len(gpus):
        said = f"{slots} trials at once, {len(gpus)} GPUs: with resources.gpus=1 some find none free"
        found.append(Diagnosis("warn", said, "lower executor.slots"))
    return found


def _confinement(config: LocalConfig) -> Diagnosis:
    version = landlock.version()
    if config.confine == "off":
        return Diagnosis("warn", "trials may write anywhere (executor.confine=off)", "executor.confine=auto")
    if not landlock.available():
        has = f"Landlock {version}" if version else "no Landlock"
        said = f"trials may write anywhere: this kernel has {has}"
        return Diagnosis("warn", said, f"Linux {_OLDEST_KERNEL[0]}.{_OLDEST_KERNEL[1]} or newer, with Landlock enabled")
    said = f"trials write in their own folder and caches only (Landlock {version}"
    return Diagnosis("ok", said + ("" if version >= _SIGNALS else "; signals are not confined, that needs 6") + ")")


def _kernel() -> list[Diagnosis]:
    if sys.platform != "linux" or not Path("/proc/self/stat").exists():
        said = f"{platform.system()} without /proc: what trials start cannot be followed"
        return [Diagnosis("fail", said, "run it on Linux with /proc mounted")]
    pid = os.getpid()
    lacks = {
        f"/proc/{pid}/task/{pid}/children": "lists of children (CONFIG_PROC_CHILDREN): trees are ended more slowly",
        f"/proc/{pid}/smaps_rollup": "smaps_rollup: the memory limit does not hold",
    }
    missing = [what for path, what in lacks.items() if not Path(path).exists()]
    found = [Diagnosis("warn", f"the kernel has no {what}", "use a newer kernel") for what in missing]
    return found or [Diagnosis("ok", f"Linux {platform.release()}: processes and memory of trials can be followed")]
