"""Which compute is here, for whoever chooses where a model runs."""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True, slots=True)
class Compute:
    """What this process can compute on."""

    system: str
    """As Python names it: `Darwin`, `Linux`."""
    machine: str
    """The machine's own architecture, also where Rosetta translates this process."""
    rosetta: bool
    """Whether this is x86 code, translated on an ARM Mac. It counts as without Metal and Core ML: what torch,
    MLX and ONNX Runtime do with them is in their ARM builds."""
    cpu_cores: int
    """Logical cores that this process may use."""
    cuda_gpus: tuple[str, ...]
    """The NVIDIA GPUs' names, also of those that CUDA_VISIBLE_DEVICES hides."""
    metal: bool
    """Whether there is an Apple GPU that this process can use."""
    core_ml: bool
    """Whether Core ML can run models for this process."""
    mlx: bool
    """Whether the package `mlx` is installed: on the GPU of an ARM Mac, on the CPU of a Linux."""
    neural_engine: bool | None
    """None on an ARM Mac of which it was not said: a virtual one has none."""

    def onnx_providers(self) -> tuple[str, ...]:
        """ONNX Runtime's execution providers for this machine, best first.

        An installed onnxruntime may have fewer: keep those that `onnxruntime.get_available_providers` has.
        """
        apple = ("CoreMLExecutionProvider",) if self.core_ml else ()
        nvidia = ("CUDAExecutionProvider",) if self.cuda_gpus else ()
        return (*apple, *nvidia, "CPUExecutionProvider")


def which_compute(
    *,
    system: str | None = None,
    machine: str | None = None,
    rosetta: bool | None = None,
    cuda_gpus: tuple[str, ...] | None = None,
    neural_engine: bool | None = None,
) -> Compute:
    """What is here; each input that is None is found out, except `neural_engine`, which a `HardwareSample`
    knows as `ane_available`. No heavy package is imported."""
    system = platform.system() if system is None else system
    machine = platform.machine() if machine is None else machine
    rosetta = system == "Darwin" and machine == "x86_64" and _translated() if rosetta is None else rosetta
    machine = "arm64" if rosetta else machine
    arm_mac = system == "Darwin" and machine == "arm64"
    return Compute(
        system=system,
        machine=machine,
        rosetta=rosetta,
        cpu_cores=_cpu_cores(),
        cuda_gpus=_cuda_gpus(system) if cuda_gpus is None else cuda_gpus,
        metal=arm_mac and not rosetta,
        core_ml=arm_mac and not rosetta,
        mlx=find_spec("mlx") is not None,
        neural_engine=neural_engine if arm_mac else False,
    )


def _cuda_gpus(system: str) -> tuple[str, ...]:
    if system == "Darwin":
        return ()
    from mlops.hardware.nvidia import nvidia

    reader = nvidia()
    return () if reader is None else reader.names


def _cpu_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _translated() -> bool:
    """macOS' `sysctl.proc_translated`, which an Intel Mac does not have."""
    value = ctypes.c_int(0)
    size = ctypes.c_size_t(ctypes.sizeof(value))
    try:
        ask = ctypes.CDLL(None).sysctlbyname
    except (AttributeError, OSError, TypeError):
        return False  # not on a Mac, whatever it was called
    ask.argtypes = [ctypes.c_char_p, *(3 * [ctypes.c_void_p]), ctypes.c_size_t]
    failed = ask(b"sysctl.proc_translated", ctypes.byref(value), ctypes.byref(size), None, 0)
    return not failed and value.value == 1
