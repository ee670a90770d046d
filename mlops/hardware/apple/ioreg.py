"""`ioreg -a`: the GPU's statistics, and the Neural Engine. No match is empty output."""

from __future__ import annotations

from mlops.hardware.apple.documents import Table, plist, table, tables, text
from mlops.hardware.base import HardwareSample, number, sampled, whole

_SOURCE = "ioreg"
_MOST_BYTES = 2**42
_MOST_ANE_CORES = 256
_CORES = "ANEDevicePropertyNumANECores"
_ARCHITECTURE = "ArchitectureTypeStr"  # seen as ANEDevicePropertyTypeANEArchitectureTypeStr


def parse_ioreg_accelerator(data: bytes) -> HardwareSample | None:
    """The first Apple GPU of `ioreg -a -r -d 1 -w 0 -c IOAccelerator`; None for a virtual machine's."""
    gpu = next((each for each in tables(plist(data)) if _is_a(each, "AGXAccelerator")), {})
    statistics = table(gpu.get("PerformanceStatistics"))
    return sampled(
        _SOURCE,
        gpu_utilization_percent=number(statistics.get("Device Utilization %"), 0, 100),
        gpu_renderer_utilization_percent=number(statistics.get("Renderer Utilization %"), 0, 100),
        gpu_tiler_utilization_percent=number(statistics.get("Tiler Utilization %"), 0, 100),
        gpu_memory_bytes=whole(statistics.get("In use system memory"), 0, _MOST_BYTES),
    )


def parse_ioreg_ane(data: bytes) -> HardwareSample | None:
    """The Neural Engine of `ioreg -a -rc H11ANEIn -l`, or all of them together."""
    entries = tables(plist(data))
    engines = [each for each in entries if _is_a(each, "H11ANE") or _CORES in _properties(each)]
    if not engines:
        return None
    cores = [whole(_properties(each).get(_CORES), 1, _MOST_ANE_CORES) for each in engines]
    known = [each for each in cores if each is not None]
    of_all = sum(known) if len(known) == len(engines) else None
    several = len(engines) > 1 and of_all is not None
    return sampled(
        _SOURCE,
        (f"ane_cores: of {len(engines)} Neural Engines together",) if several else (),
        ane_available=True,
        ane_cores=of_all,
        ane_architecture=_architecture(_properties(engines[0])),
    )


def _is_a(entry: Table, kind: str) -> bool:
    classes = (text(entry.get(key)) for key in ("IOObjectClass", "IOClass"))
    return any(each is not None and each.startswith(kind) for each in classes)


def _properties(engine: Table) -> Table:
    return table(engine.get("DeviceProperties"))


def _architecture(properties: Table) -> str | None:
    return text(next((each for name, each in properties.items() if name.endswith(_ARCHITECTURE)), None))
