"""Where a network is trained: CUDA, Apple's MPS, or the CPU's cores."""

import torch

from mlops import which_compute


def best_device() -> torch.device:
    """What the machine has and torch can use: CUDA, else MPS, else the CPU."""
    compute = which_compute()
    if compute.cuda_gpus and torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if compute.metal and torch.backends.mps.is_available() else "cpu")


def workers_for(device: torch.device) -> int:
    """How many folds to train at once: one on a GPU, which they would share, else one on each core."""
    return which_compute().cpu_cores if device.type == "cpu" else 1
