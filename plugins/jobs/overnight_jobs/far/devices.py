"""What this machine has: cores, memory, GPUs; without importing torch."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gb() -> float:
    """Memory in GiB: the machine's, or what its container may use if that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # cgroups 2 and 1
        with contextlib.suppress(OSError, ValueError):  # not that version, or "max"
            limits.append(int((Path("/sys/fs/cgroup") / name).read_text(encoding="ascii")))
    return min(limits) / 2**30


def gpu_ids() -> list[int]:
    """The NVIDIA GPUs that this process may hand out; respects CUDA_VISIBLE_DEVICES."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [int(part) for part in visible.split(",") if part.strip().isdigit()]
    return list(range(len(gpu_names())))


def gpu_names() -> list[str]:
    """Names of all NVIDIA GPUs, e.g. ["NVIDIA H100 80GB HBM3"]; empty without a driver."""
    driver = Path("/proc/driver/nvidia/gpus")
    if driver.is_dir():
        return [_model(folder) for folder in sorted(driver.iterdir())]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return []  # a driver that does not answer has no GPU to offer
    return [line.partition(":")[2].partition("(")[0].strip() for line in listed.splitlines() if line.startswith("GPU")]


def _model(folder: Path) -> str:
    for line in (folder / "information").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("Model:"):
            return line.partition(":")[2].strip()
    return "NVIDIA GPU"
