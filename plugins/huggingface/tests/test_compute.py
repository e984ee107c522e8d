"""Threads, device settings and memory, in processes of their own: torch is set up once for all."""

import os
import subprocess
import sys

from overnight_huggingface.compute import device_memory_gb, device_settings, weights_dtype


def said(script: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_threads_are_those_that_the_executor_gave() -> None:
    script = (
        "import torch, os\n"
        "os.environ['OMP_NUM_THREADS'] = '3'\n"  # after torch's import, as in a worker that imports it early
        "from overnight_huggingface.compute import set_up_cpu\n"
        "set_up_cpu()\n"
        "print(torch.get_num_threads())\n"
    )
    assert said(script, OMP_NUM_THREADS="1") == "3"


def test_freed_memory_is_kept_for_the_next_tensor() -> None:
    script = (
        "import sys, torch\n"
        "from overnight_huggingface.compute import set_up_cpu\n"
        "if sys.argv[1:] == ['set up']: set_up_cpu()\n"
        "held = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
        "before = held()\n"
        "tensor = torch.ones(2**26)\n"  # 256 MiB
        "del tensor\n"
        "print(held() - before > 200)\n"
    )
    assert said(script) == "False"
    assert said(script.replace("sys.argv[1:] == ['set up']", "True")) == "True"


def test_without_a_gpu_weights_and_computing_are_float32() -> None:
    import torch

    if torch.cuda.is_available():
        return
    assert weights_dtype("auto", training_all=False) == torch.float32
    assert weights_dtype("bfloat16", training_all=False) == torch.bfloat16
    assert device_settings() == {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
    assert device_settings("bfloat16")["bf16"] is True
    assert 0.5 < device_memory_gb() < 4096
