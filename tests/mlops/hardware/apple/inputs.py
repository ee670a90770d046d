"""Small outputs in the layout of Apple's tools, with values of our own."""

from __future__ import annotations

import json
import plistlib
from collections.abc import Callable
from typing import Any

from mlops.hardware import apple

Parser = Callable[[bytes], apple.HardwareSample | None]


def cluster(
    name: str = "P-Cluster", cpus: tuple[tuple[float, float], ...] = ((0.5, 0.25),), hz: float = 3e9
) -> dict[str, Any]:
    """A cluster of CPUs of which the idle and the down ratio are given."""
    each = [
        {"cpu": at, "freq_hz": hz, "idle_ratio": idle, "down_ratio": down}
        for at, (idle, down) in enumerate(cpus)
    ]
    # The cluster's own ratios are of another kind, and must not be taken for its CPUs'.
    return {"name": name, "freq_hz": hz, "idle_ratio": 0.125, "down_ratio": 0.0, "cpus": each}


def powermetrics(processor: dict[str, Any] | None = None, **others: Any) -> bytes:
    """A sample of one second; what is given replaces or adds, and None removes."""
    its = {
        "clusters": [cluster("E-Cluster", ((0.75, 0.0), (0.5, 0.25))), cluster("P-Cluster", ((0.25, 0.25),))],
        "cpu_energy": 2000,
        "cpu_power": 2000.0,
        "gpu_energy": 500,
        "gpu_power": 500.0,
        "ane_energy": 250,
        "ane_power": 250.0,
        "combined_power": 2750.0,
    }
    sample = {
        "is_delta": True,
        "elapsed_ns": 1_000_000_000,
        "hw_model": "Mac17,1",
        "processor": without_nones(its | (processor or {})),
        "thermal_pressure": "Moderate",
        "gpu": {"freq_hz": 1398.0, "idle_ratio": 0.25, "gpu_energy": 499},
    }
    return plistlib.dumps(without_nones(sample | others), sort_keys=False)


def ioreg_gpu(kind: str = "AGXAcceleratorG17X", **statistics: Any) -> bytes:
    """One entry of `ioreg -a -r -d 1 -w 0 -c IOAccelerator`; `Device Utilization %` is `device=`."""
    names = {
        "device": "Device Utilization %",
        "renderer": "Renderer Utilization %",
        "tiler": "Tiler Utilization %",
        "memory": "In use system memory",
    }
    values = {"device": 42, "renderer": 40, "tiler": 0, "memory": 1_500_000_000} | statistics
    told = {"Alloc system memory": 9_000_000_000} | {names[key]: value for key, value in values.items()}
    entry = {"IOClass": kind, "IOObjectClass": kind, "model": "Apple M7", "PerformanceStatistics": told}
    return plistlib.dumps([entry], sort_keys=False)


def ioreg_ane(*cores: Any, architecture: Any = "h18g") -> bytes:
    """An entry of `ioreg -a -rc H11ANEIn -l` for each number of cores."""
    return plistlib.dumps(
        [
            {
                "IOObjectClass": "H11ANEIn",
                "FirmwareLoaded": True,
                "DeviceProperties": {
                    "ANEDevicePropertyANEVersion": 208,
                    "ANEDevicePropertyNumANECores": each,
                    "ANEDevicePropertyTypeANEArchitectureTypeStr": architecture,
                },
            }
            for each in cores
        ],
        sort_keys=False,
    )


def system_profiler(hardware: dict[str, Any] | None = None, *displays: dict[str, Any]) -> bytes:
    """Hardware and displays, as `system_profiler -json` prints them."""
    its = {
        "_name": "hardware_overview",
        "chip_type": "Apple M7 Ultra",
        "machine_model": "Mac19,2",
        "number_processors": "proc 48:8:16:24",
        "physical_memory": "256 GB",
        "platform_UUID": "D1A7F0E5-UUID",
        "provisioning_UDID": "00008140-UDID",
        "serial_number": "S3R1ALN0",
    }
    told = {
        "SPDisplaysDataType": list(displays),
        "SPHardwareDataType": [without_nones(its | (hardware or {}))],
    }
    return json.dumps(told, indent=2).encode()


def display(**changes: Any) -> dict[str, Any]:
    """A built-in GPU of `SPDisplaysDataType`."""
    its = {
        "_name": "Apple M7 Ultra",
        "spdisplays_vendor": "sppci_vendor_Apple",
        "sppci_cores": "96",
        "sppci_device_type": "spdisplays_gpu",
        "sppci_model": "Apple M7 Ultra",
    }
    return without_nones(its | changes)


def without_nones(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


SYSCTL = b"""\
machdep.cpu.brand_string: Apple M6 Pro
hw.model: Mac18,4
hw.memsize: 51539607552
hw.nperflevels: 3
hw.perflevel0.name: Super
hw.perflevel0.physicalcpu: 4
hw.perflevel1.name: Performance
hw.perflevel1.physicalcpu: 10
hw.perflevel2.name: Efficiency
hw.perflevel2.physicalcpu: 2
sysctl.proc_translated: 0
kern.osproductversion: 26.2
kern.hv_vmm_present: 0
kern.memorystatus_vm_pressure_level: 1
kern.memorystatus_level: 87
vm.swapusage: total = 1024.00M  used = 12.50M  free = 1011.50M  (encrypted)
iogpu.wired_limit_mb: 0
"""

PMSET = b"""\
System-wide power settings:
 SleepDisabled\t\t0
Currently in use:
 standby              1
 Sleep On Power Button 1
 hibernatefile        /var/vm/sleepimage
 sleep                1 (sleep prevented by caffeinate, powerd)
 powermode            2
 womp                 1
"""

PMSET_CUSTOM = b"""\
Battery Power:
 lowpowermode         1
 displaysleep         2
AC Power:
 powermode            2
 displaysleep         10
"""

PMSET_BATTERY = b"""\
Now drawing from 'Battery Power'
 -InternalBattery-0 (id=1234567)\t69%; discharging; 3:57 remaining present: true
"""

PMSET_THERM = b"""\
Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
Note: No CPU power status has been recorded
"""

VM_STAT = b"""\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                                     1000.
Pages active:                                  70000.
Pages wired down:                               2000.
Pages purgeable:                                   9.
"Translation faults":                        1234567.
Pages stored in compressor:                     9000.
Pages occupied by compressor:                      0.
Swapouts:                                          3.
"""

PRESSURE = b"com.apple.system.thermalpressurelevel 2\n"

OWN: dict[str, tuple[Parser, bytes]] = {
    "powermetrics": (apple.parse_powermetrics, powermetrics()),
    "powermetrics-two": (
        apple.parse_powermetrics,
        b"\n\0".join([powermetrics(), powermetrics(elapsed_ns=2_000_000_000, thermal_pressure="Heavy")]),
    ),
    "powermetrics-stalled": (apple.parse_powermetrics, powermetrics({"cpu_energy": 0, "cpu_power": 0.0})),
    "ioreg-gpu": (apple.parse_ioreg_accelerator, ioreg_gpu()),
    "ioreg-ane": (apple.parse_ioreg_ane, ioreg_ane(16, 16)),
    "sysctl": (apple.parse_sysctl, SYSCTL),
    "sysctl-rosetta": (
        apple.parse_sysctl,
        b"sysctl.proc_translated: 1\n"
        b"machdep.cpu.brand_string: VirtualApple @ 2.50GHz processor\n"
        b"hw.model: MacBookAir10,1\n",
    ),
    "system_profiler": (apple.parse_system_profiler, system_profiler(None, display())),
    "pmset": (apple.parse_pmset, PMSET),
    "pmset-custom": (apple.parse_pmset, PMSET_CUSTOM),
    "pmset-battery": (apple.parse_pmset, PMSET_BATTERY),
    "pmset-therm": (apple.parse_pmset, PMSET_THERM),
    "pressure": (apple.parse_thermal_pressure, PRESSURE),
    "vm_stat": (apple.parse_vm_stat, VM_STAT),
}
"""Name -> parser and what it is to parse."""
