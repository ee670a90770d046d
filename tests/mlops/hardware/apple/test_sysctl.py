"""sysctl: what the machine is, in any order and never in part."""

from __future__ import annotations

import random
import re

import pytest

from mlops.hardware.apple import HardwareSample, parse_sysctl
from mlops.hardware.base import CpuLevel, MemoryPressure
from tests.mlops.hardware.apple.inputs import SYSCTL

FIGURES = {
    "chip_type": "Apple M6 Pro",
    "model": "Mac18,4",
    "memory_gb": 48.0,
    "cpu_levels": (CpuLevel("Super", 4), CpuLevel("Performance", 10), CpuLevel("Efficiency", 2)),
    "rosetta": False,
    "virtual_machine": False,
    "os_version": "26.2",
    "memory_pressure_level": MemoryPressure.NORMAL,
    "memory_free_percent": 87.0,
    "swap_used_bytes": 12_800 * 1024,
    "gpu_wired_limit_mb": 0,
}


def parsed(data: bytes) -> HardwareSample:
    sample = parse_sysctl(data)
    assert sample is not None
    return sample


def without(key: str) -> bytes:
    return re.sub(rb"(?m)^" + re.escape(key).encode() + rb":.*\n", b"", SYSCTL)


def changed(key: str, value: str) -> bytes:
    return without(key) + f"{key}: {value}\n".encode()


def test_three_performance_levels_and_the_rest_parse() -> None:
    sample = parsed(SYSCTL)
    assert sample.figures == FIGURES
    assert sample.sources == dict.fromkeys(FIGURES, "sysctl")
    assert sample.quality == ()


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_lines_does_not_matter(seed: int) -> None:
    told = SYSCTL.splitlines(keepends=True)
    random.Random(seed).shuffle(told)
    assert parsed(b"".join(told)).figures == FIGURES


def test_line_ends_of_another_system_change_nothing() -> None:
    assert parsed(SYSCTL.replace(b"\n", b"\r\n")).figures == FIGURES


NAMES = [f"hw.perflevel{level}.name" for level in range(3)]
COUNTS = ["hw.nperflevels", *(f"hw.perflevel{level}.physicalcpu" for level in range(3))]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in NAMES for value in (None, "", "x\ufffdy", "x" * 200)),
        *((key, value) for key in COUNTS for value in (None, "", "0", "-1", "4.0", "99999999")),
    ],
)
def test_levels_are_whole_or_unknown(key: str, value: str | None) -> None:
    sample = parsed(without(key) if value is None else changed(key, value))
    assert sample.cpu_levels is None
    assert sample.figures == {name: each for name, each in FIGURES.items() if name != "cpu_levels"}


def test_levels_beyond_the_count_and_other_counts_of_processors_are_not_read() -> None:
    two = changed("hw.nperflevels", "2") + b"hw.number_processors: proc 16:4:2:10\nhw.physicalcpu: 99\n"
    assert parsed(two).cpu_levels == (CpuLevel("Super", 4), CpuLevel("Performance", 10))


def test_a_chip_newer_than_any_table_keeps_its_name() -> None:
    assert parsed(changed("machdep.cpu.brand_string", "Apple M7 Ultra")).chip_type == "Apple M7 Ultra"


def test_rosetta_hides_the_chip_and_shows_itself() -> None:
    data = changed("machdep.cpu.brand_string", "VirtualApple @ 2.50GHz processor")
    sample = parsed(data.replace(b"sysctl.proc_translated: 0", b"sysctl.proc_translated: 1"))
    assert (sample.chip_type, sample.rosetta) == (None, True)
    assert sample.quality == ("chip_type: hidden by Rosetta",)
    only = parsed(b"machdep.cpu.brand_string: VirtualApple @ 2.50GHz processor\n")
    assert (only.figures, only.quality) == ({}, ("chip_type: hidden by Rosetta",))


@pytest.mark.parametrize("version", ["26.2", "15.7.1", "27.0", "10.15.7"])
def test_the_version_of_macos(version: str) -> None:
    assert parsed(changed("kern.osproductversion", version)).os_version == version


@pytest.mark.parametrize(
    "version", ["", "26", "26.", "6.2", "26.2.1.1", "26.2 beta", "x26.2", "1626.2", "26,2"]
)
def test_what_is_no_version_of_macos_is_none(version: str) -> None:
    assert parsed(changed("kern.osproductversion", version)).os_version is None


def test_a_version_that_may_be_cut_is_none() -> None:
    assert parse_sysctl(b"kern.osproductversion: 15.7") is None


def test_a_hosted_virtual_machine_is_one() -> None:
    data = (
        b"machdep.cpu.brand_string: Apple M1 (Virtual)\nhw.model: VirtualMac2,1\nhw.memsize: 7516192768\n"
        b"kern.hv_vmm_present: 1\n"
    )
    assert parsed(data).figures == {
        "chip_type": "Apple M1 (Virtual)",
        "model": "VirtualMac2,1",
        "memory_gb": 7.0,
        "virtual_machine": True,
    }


@pytest.mark.parametrize(
    ("key", "figure"), [("sysctl.proc_translated", "rosetta"), ("kern.hv_vmm_present", "virtual_machine")]
)
@pytest.mark.parametrize("value", [None, "", "2", "-1", "01", "yes"])
def test_a_switch_that_is_neither_0_nor_1_is_unknown(key: str, figure: str, value: str | None) -> None:
    sample = parsed(without(key) if value is None else changed(key, value))
    assert figure not in sample.figures


@pytest.mark.parametrize(
    ("value", "level"),
    [("1", 1), ("2", 2), ("4", 4), ("0", None), ("3", None), ("5", None), ("", None), ("12", None)],
)
def test_memory_pressure_is_one_of_three_levels(value: str, level: int | None) -> None:
    assert parsed(changed("kern.memorystatus_vm_pressure_level", value)).memory_pressure_level == level


@pytest.mark.parametrize(
    ("used", "size"),
    [
        ("0.00M", 0),
        ("512.00K", 512 * 1024),
        ("1.50G", 1536 * 2**20),
        ("12.50", None),
        ("12.50X", None),
        ("12.50MB", None),
        ("-1.00M", None),
        ("1e3M", None),
        ("12,50M", None),
        ("999999999.00G", None),
    ],
)
def test_swap_is_in_binary_units_and_zero_is_a_reading(used: str, size: int | None) -> None:
    data = changed("vm.swapusage", f"total = 2048.00M  used = {used}  free = 1.00M  (encrypted)")
    assert parsed(data).swap_used_bytes == size


@pytest.mark.parametrize(
    ("key", "figure", "values"),
    [
        (
            "hw.memsize",
            "memory_gb",
            ["0", "-17179869184", "17179869184.0", "1_000_000_000_0", "9" * 5000, "0x400000000"],
        ),
        ("kern.memorystatus_level", "memory_free_percent", ["-1", "101", "8.5", ""]),
        ("iogpu.wired_limit_mb", "gpu_wired_limit_mb", ["-1", "99999999999", "1.5"]),
        ("hw.model", "model", ["", "M" * 200, "Mac\x0018", "Mac\ufffd"]),
        ("machdep.cpu.brand_string", "chip_type", ["", "Apple \x1b[31mM4"]),
    ],
)
def test_what_is_no_value_of_its_key_is_unreadable(key: str, figure: str, values: list[str]) -> None:
    for value in values:
        assert figure not in parsed(changed(key, value)).figures


@pytest.mark.parametrize(
    "cut",
    [
        "hw.memsize: 5153960755",
        "hw.memsize: 51539607552",
        "hw.model: Mac18",
        "machdep.cpu.brand_string: Apple M6",
        "kern.memorystatus_level: 8",
        "iogpu.wired_limit_mb: 4096",
        "hw.nperflevels: 1",
        "vm.swapusage: total = 1024.00M  used = 12.5",
    ],
)
def test_a_last_line_without_an_end_counts_for_nothing_where_more_may_follow(cut: str) -> None:
    assert parse_sysctl(cut.encode()) is None


@pytest.mark.parametrize(
    ("ending", "figure", "value"),
    [
        ("kern.memorystatus_vm_pressure_level: 4", "memory_pressure_level", 4),
        ("sysctl.proc_translated: 1", "rosetta", True),
        ("kern.hv_vmm_present: 0", "virtual_machine", False),
        ("vm.swapusage: total = 1024.00M  used = 1.00M", "swap_used_bytes", 2**20),
    ],
)
def test_a_last_line_without_an_end_counts_where_its_value_shows_that_it_is_whole(
    ending: str, figure: str, value: object
) -> None:
    assert parsed(ending.encode()).figures == {figure: value}


def test_of_a_key_that_comes_twice_the_first_value_counts() -> None:
    assert parsed(SYSCTL + b"hw.memsize: 1099511627776\n").memory_gb == 48.0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"sysctl: unknown oid 'hw.nperflevels'\n",
        b"\xff\xfe\x00hw.memsize: 1",
        b"hw.memsize 8\n",
    ],
)
def test_without_a_known_key_there_is_no_sample(data: bytes) -> None:
    assert parse_sysctl(data) is None
