"""`system_profiler -json SPHardwareDataType SPDisplaysDataType`: the chip, its memory and GPU cores.

Serial number and hardware identifiers stand in the same table, and are never read; nor is
`number_processors`, whose fields changed their order between releases of macOS.
"""

from __future__ import annotations

import re

from mlops.hardware.apple.documents import Table, json_document, table, tables, text
from mlops.hardware.apple.lines import digits
from mlops.hardware.base import HardwareSample, number, sampled, whole

_MOST_GIB = 4096
_MOST_CORES = 1024
_MEMORY = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s?([MGT])B")
_GIB = {"M": 1 / 1024, "G": 1.0, "T": 1024.0}


def parse_system_profiler(data: bytes) -> HardwareSample | None:
    """The hardware and the first Apple GPU."""
    document = table(json_document(data))
    hardware = next(iter(tables(document.get("SPHardwareDataType"))), {})
    gpu = next((each for each in tables(document.get("SPDisplaysDataType")) if _is_apple_gpu(each)), {})
    return sampled(
        "system_profiler",
        chip_type=text(hardware.get("chip_type")),
        model=text(hardware.get("machine_model")),
        memory_gb=_memory_gb(hardware.get("physical_memory")),
        gpu_name=text(gpu.get("sppci_model")),
        gpu_cores=whole(digits(text(gpu.get("sppci_cores")) or ""), 1, _MOST_CORES),
    )


def _is_apple_gpu(display: Table) -> bool:
    return (
        display.get("spdisplays_vendor") == "sppci_vendor_Apple"
        and display.get("sppci_device_type") == "spdisplays_gpu"
    )


def _memory_gb(memory: object) -> float | None:
    # The language of the system may put a space of another kind before the unit.
    found = _MEMORY.fullmatch(memory) if isinstance(memory, str) else None
    return number(float(found[1]) * _GIB[found[2]], 1, _MOST_GIB) if found is not None else None
