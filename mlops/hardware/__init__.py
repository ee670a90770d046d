"""What this machine is and does: chip, GPU, Neural Engine, power, memory pressure, heat."""

from mlops.hardware.base import (
    AppleSiliconMetrics,
    CpuLevel,
    Gpu,
    HardwareReader,
    HardwareSample,
    MemoryPressure,
    ThermalState,
)

__all__ = [
    "AppleSiliconMetrics",
    "CpuLevel",
    "Gpu",
    "HardwareReader",
    "HardwareSample",
    "MemoryPressure",
    "ThermalState",
]
