"""CPU threads: as many as the executor gave this job."""

import os


def use_given_threads() -> None:
    """Make torch use OMP_NUM_THREADS threads; it would ignore a change after its import."""
    import torch

    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
