"""`sysctl -i key …`: what the machine is, and its memory pressure, as `key: value` lines in any order."""

from __future__ import annotations

import re

from mlops.hardware.apple.lines import digits, lines, readable
from mlops.hardware.base import CpuLevel, HardwareSample, MemoryPressure, number, sampled, whole

_SOURCE = "sysctl"
_MOST_GIB = 4096
_MOST_LEVELS = 16
_MOST_CORES = 1024
_SWITCH = {"0": False, "1": True}
_PRESSURE = {str(each.value): each for each in MemoryPressure}
# Their values show that they are whole: one digit, or a number and its unit.
_WHOLE_WHEN_CUT = {
    "sysctl.proc_translated",
    "kern.hv_vmm_present",
    "kern.memorystatus_vm_pressure_level",
    "vm.swapusage",
}
_SWAP_USED = re.compile(r"(?:^|\s)used = ([0-9]{1,12}(?:\.[0-9]{1,6})?)([KMGT])(?=\s|$)")
_VERSION = re.compile(r"[1-9][0-9]{1,2}(\.[0-9]{1,3}){1,2}")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

Values = dict[str, str]


def parse_sysctl(data: bytes) -> HardwareSample | None:
    """What the keys that are there say; of a key that comes twice, the first value."""
    values = _values(data)
    chip = readable(values.get("machdep.cpu.brand_string", ""))
    hidden = chip is not None and chip.startswith("VirtualApple")
    memory = _number(values, "hw.memsize", 2**30, _MOST_GIB * 2**30)
    return sampled(
        _SOURCE,
        ("chip_type: hidden by Rosetta",) if hidden else (),
        chip_type=None if hidden else chip,
        model=readable(values.get("hw.model", "")),
        memory_gb=memory / 2**30 if memory is not None else None,
        cpu_levels=_levels(values),
        rosetta=_SWITCH.get(values.get("sysctl.proc_translated", "")),
        virtual_machine=_SWITCH.get(values.get("kern.hv_vmm_present", "")),
        os_version=_version(values.get("kern.osproductversion", "")),
        memory_pressure_level=_PRESSURE.get(values.get("kern.memorystatus_vm_pressure_level", "")),
        memory_free_percent=number(_number(values, "kern.memorystatus_level", 0, 100), 0, 100),
        swap_used_bytes=_swap(values.get("vm.swapusage", "")),
        gpu_wired_limit_mb=_number(values, "iogpu.wired_limit_mb", 0, _MOST_GIB * 2**10),
    )


def _values(data: bytes) -> Values:
    values: Values = {}
    for line in lines(data):
        key, colon, value = line.text.partition(":")
        if colon and (line.ended or key.strip() in _WHOLE_WHEN_CUT):
            values.setdefault(key.strip(), value.strip())
    return values


def _number(values: Values, key: str, low: int, high: int) -> int | None:
    return whole(digits(values.get(key, "")), low, high)


def _version(value: str) -> str | None:
    """macOS' version; that of the time before Apple silicon, 10.x, is as good as another."""
    return value if _VERSION.fullmatch(value) else None


def _levels(values: Values) -> tuple[CpuLevel, ...] | None:
    """The performance levels, fastest first as macOS counts them; all of them, or None."""
    count = _number(values, "hw.nperflevels", 1, _MOST_LEVELS)
    levels = []
    for level in range(count or 0):
        name = readable(values.get(f"hw.perflevel{level}.name", ""))
        cores = _number(values, f"hw.perflevel{level}.physicalcpu", 1, _MOST_CORES)
        if name is None or cores is None:
            return None
        levels.append(CpuLevel(name, cores))
    return tuple(levels) or None


def _swap(usage: str) -> int | None:
    if (used := _SWAP_USED.search(usage)) is None:
        return None
    return whole(round(float(used[1]) * _UNITS[used[2]]), 0, _MOST_GIB * 2**30)
