"""What a job computes on: CPU threads, the GPU if there is one, memory, the type of weights."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any, Literal

Dtype = Literal["auto", "float32", "bfloat16"]


# mallopt's parameters (glibc, malloc.h): freed memory is kept for the next tensor instead of being given back.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 2**30


def set_up_cpu() -> None:
    """Use OMP_NUM_THREADS threads, as the executor gave this job, and keep freed memory.

    torch ignores a change of OMP_NUM_THREADS after its import. glibc gives every large tensor's
    memory back when it is freed, and the kernel clears it for the next one: a tenth of the time of
    training SmolLM2 on two cores (docs/benchmarks.md).
    """
    import torch

    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    if sys.platform == "linux" and not torch.cuda.is_available():
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _KEPT)
            mallopt(_M_TRIM_THRESHOLD, _KEPT)


def on_device(model: Any) -> Any:
    """The model on the GPU, if there is one."""
    import torch

    return model.to("cuda") if torch.cuda.is_available() else model


def device_settings(dtype: Dtype = "auto") -> dict[str, Any]:
    """Keyword arguments of TrainingArguments for this machine; auto = compute in bfloat16 on GPUs that have it."""
    import torch

    if torch.cuda.is_available():
        return {"bf16": dtype == "bfloat16" or (dtype == "auto" and torch.cuda.is_bf16_supported())}
    return {"use_cpu": True, "bf16": dtype == "bfloat16", "dataloader_pin_memory": False}


def weights_dtype(dtype: Dtype, *, training_all: bool) -> Any:
    """The type of the weights: for auto, float32 on CPUs and where all weights are trained
    (computing in bfloat16 on GPUs), else bfloat16."""
    import torch

    if dtype != "auto":
        return getattr(torch, dtype)
    if torch.cuda.is_available() and torch.cuda.is_bf16_supported() and not training_all:
        return torch.bfloat16
    return torch.float32


def device_memory_gb() -> float:
    """GiB of the GPU, or of the machine as far as its control group allows."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[1]) / 2**30
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(physical, int(text) if text.isdigit() else physical) / 2**30
