"""NVIDIA GPUs, by the driver's own library (NVML), through `nvidia-ml-py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from mlops.hardware.base import Gpu, HardwareReader, HardwareSample, number, sampled, whole

_MOST_WATTS = 10_000.0
_MOST_BYTES = 2**50
_LEAST_S = 1.0
"""Energy is told over this time or more: the counter moves in steps, and 0 J over 0 s says nothing."""


class Nvml(Protocol):
    """What is used of the module `pynvml`."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None:
        """Load the driver's library; raises `NVMLError` where there is none."""

    def nvmlDeviceGetCount(self) -> int:
        """How many GPUs there are."""

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        """What the questions below are asked of."""

    def nvmlDeviceGetName(self, handle: Any) -> str | bytes:
        """`NVIDIA H200`; bytes in old versions."""

    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any:
        """`gpu`: percent of the last sample period, a second at most, with a kernel running."""

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:
        """`used` and `total`, in bytes."""

    def nvmlDeviceGetPowerUsage(self, handle: Any) -> int:
        """Of the whole board, in mW."""

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> int:
        """Since the driver was loaded, in mJ."""


class Nvidia:
    """The NVIDIA GPUs of the machine, also those that CUDA_VISIBLE_DEVICES hides from this process."""

    name = "NVML"
    tells = (
        *("gpu_name", "gpu_utilization_percent", "gpu_power_w", "gpu_memory_bytes", "gpu_memory_total_bytes"),
        *("other_gpus", "energy_j", "elapsed_s"),
    )

    def __init__(self, nvml: Nvml, clock: Callable[[], float] = time.monotonic) -> None:
        """Energy counts from here. Raises `nvml.NVMLError` where the driver does not answer."""
        self._nvml, self._clock = nvml, clock
        nvml.nvmlInit()
        self._gpus = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        self._opened_s = clock()
        self._opened_j = [self._energy(gpu) for gpu in self._gpus]

    @property
    def names(self) -> tuple[str, ...]:
        """The GPUs' names; `unknown` for one that does not tell it."""
        return tuple(self._name(gpu) or "unknown" for gpu in self._gpus)

    def read(self) -> HardwareSample | None:
        """The figures now, the first GPU's in the fields `gpu_…`; None for what a GPU does not tell."""
        if not self._gpus:
            return None
        first, *others = [self._gpu(handle) for handle in self._gpus]
        elapsed = self._clock() - self._opened_s
        energy, remark = self._used(elapsed)
        return sampled(
            self.name,
            remark,
            gpu_name=first.name,
            gpu_utilization_percent=first.utilization_percent,
            gpu_power_w=first.power_w,
            gpu_memory_bytes=first.memory_bytes,
            gpu_memory_total_bytes=first.memory_total_bytes,
            other_gpus=tuple(others) or None,
            energy_j=energy,
            elapsed_s=None if energy is None else elapsed,
        )

    def _gpu(self, handle: Any) -> Gpu:
        rates = self._ask(self._nvml.nvmlDeviceGetUtilizationRates, handle)
        memory = self._ask(self._nvml.nvmlDeviceGetMemoryInfo, handle)
        milliwatts = number(self._ask(self._nvml.nvmlDeviceGetPowerUsage, handle), 0, 1000 * _MOST_WATTS)
        return Gpu(
            name=self._name(handle),
            utilization_percent=number(getattr(rates, "gpu", None), 0, 100),
            power_w=None if milliwatts is None else milliwatts / 1000,
            memory_bytes=whole(getattr(memory, "used", None), 0, _MOST_BYTES),
            memory_total_bytes=whole(getattr(memory, "total", None), 1, _MOST_BYTES),
        )

    def _name(self, handle: Any) -> str | None:
        name = self._ask(self._nvml.nvmlDeviceGetName, handle)
        return name.decode(errors="replace") if isinstance(name, bytes) else name

    def _energy(self, handle: Any) -> float | None:
        millijoules = self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        return None if millijoules is None else millijoules / 1000

    def _used(self, elapsed_s: float) -> tuple[float | None, tuple[str, ...]]:
        """The energy of all GPUs since the opening; a sum without one of them would be none."""
        if elapsed_s < _LEAST_S:
            return None, (f"energy_j: told from {_LEAST_S:.0f} s on",)
        pairs = zip(self._opened_j, map(self._energy, self._gpus), strict=True)
        used = [now - begun for begun, now in pairs if begun is not None and now is not None]
        if len(used) < len(self._gpus):
            return None, ("energy_j: not told by every GPU",)
        if min(used) < 0:
            return None, ("energy_j: a GPU's counter went back",)
        return sum(used), ("energy_j: GPUs only",)

    def _ask(self, question: Callable[[Any], Any], handle: Any) -> Any:
        try:
            return question(handle)
        except self._nvml.NVMLError:
            return None  # most often NVMLError_NotSupported


def nvidia() -> Nvidia | None:
    """A reader of this machine's NVIDIA GPUs; None where there is no driver, or no GPU."""
    try:
        import pynvml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    return opened(pynvml)


def opened(nvml: Nvml) -> Nvidia | None:
    """A reader over that library; None where it finds no driver, or no GPU."""
    try:
        reader = Nvidia(nvml)
    except nvml.NVMLError:
        return None
    return reader if reader.names else None


if TYPE_CHECKING:
    _conforms: type[HardwareReader] = Nvidia
