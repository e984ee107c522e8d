"""The environment of a job: an allowlist, so that no secret of the controller reaches a trial."""

import os
from collections.abc import Iterable, Mapping

_NAMES = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TERM",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDA_DEVICE_ORDER",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_REQUIRE_CUDA",
        "NVIDIA_DISABLE_REQUIRE",
        "NVIDIA_TF32_OVERRIDE",
        "NCCL_IB_PKEY",  # the number of an InfiniBand partition
        "ROCM_PATH",
        "XDG_CACHE_HOME",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "HF_DATASETS_CACHE",
        "HF_DATASETS_OFFLINE",
        "HF_ENDPOINT",
        "TRANSFORMERS_OFFLINE",
        "TORCH_HOME",
        "TRITON_CACHE_DIR",
        "OVERNIGHT_CACHE",
    ]
)
_PREFIXES = ("LC_", "NCCL_")
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

JOB = "OVERNIGHT_JOB"
OWNER = "OVERNIGHT_OWNER"


def job_environment(
    token: str, owner: str, extra: Mapping[str, str], keep: Iterable[str], gpus: Iterable[int], threads: int
) -> dict[str, str]:
    """What a job sees: allowlisted variables, its own `env`, its GPUs, threads and mark.

    Without GPUs assigned, CUDA_VISIBLE_DEVICES is empty: a trial never takes another's.
    """
    kept = _NAMES | set(keep)
    env = {name: value for name, value in os.environ.items() if name in kept or _is_harmless(name)}
    env |= {name: str(threads) for name in _THREADS}
    env["CUDA_VISIBLE_DEVICES"] = ",".join(str(gpu) for gpu in gpus)
    env["PYTHONUNBUFFERED"] = "1"
    env["TOKENIZERS_PARALLELISM"] = "false"
    return env | dict(extra) | {JOB: token, OWNER: owner}


def _is_harmless(name: str) -> bool:
    return name.startswith(_PREFIXES) and not any(word in name.upper() for word in _SECRET)
