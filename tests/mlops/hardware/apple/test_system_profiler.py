"""system_profiler: the chip and the GPU's cores, and nothing that identifies the machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops.hardware.apple import parse_system_profiler
from tests.mlops.hardware.apple.inputs import display, system_profiler


def test_the_hardware_and_the_gpu_parse() -> None:
    sample = parse_system_profiler(system_profiler(None, display()))
    assert sample is not None
    assert sample.figures == {
        "chip_type": "Apple M7 Ultra",
        "model": "Mac19,2",
        "memory_gb": 256.0,
        "gpu_name": "Apple M7 Ultra",
        "gpu_cores": 96,
    }
    assert sample.sources == dict.fromkeys(sample.figures, "system_profiler")


def test_nothing_that_identifies_the_machine_is_anywhere_in_the_sample() -> None:
    sample = parse_system_profiler(system_profiler(None, display()))
    for identifier in ("S3R1ALN0", "D1A7F0E5", "UUID", "00008140", "UDID", "proc 48"):
        assert identifier not in repr(sample)


@pytest.mark.parametrize("count", ["proc 18:6:0:12", "proc 8:4:4", 8, {"cpus": 8}, None])
def test_the_number_of_processors_is_not_read_whatever_its_layout(count: object) -> None:
    told, plain = (parse_system_profiler(system_profiler({"number_processors": each})) for each in (count, 4))
    assert told == plain
    assert told is not None
    assert told.cpu_levels is None


def test_under_rosetta_no_chip_is_named() -> None:
    sample = parse_system_profiler(system_profiler({"chip_type": None, "cpu_type": "Unknown"}))
    assert sample is not None
    assert sample.figures == {"model": "Mac19,2", "memory_gb": 256.0}


@pytest.mark.parametrize(
    ("told", "gib"),
    [
        ("8 GB", 8.0),
        ("16\u00a0GB", 16.0),
        ("1.5 TB", 1536.0),
        ("0 GB", None),
        ("-16 GB", None),
        ("16 Go", None),
        ("16", None),
        ("16 GB of them", None),
        ("9999999999 TB", None),
        (16, None),
        (["16 GB"], None),
    ],
)
def test_memory_is_read_with_its_unit_or_not_at_all(told: object, gib: float | None) -> None:
    sample = parse_system_profiler(system_profiler({"physical_memory": told}))
    assert sample is not None
    assert sample.memory_gb == gib


@pytest.mark.parametrize("cores", [None, "", "0", "-10", "10.0", "ten", 10, "1_0", "99999"])
def test_gpu_cores_are_a_text_of_digits_or_unreadable(cores: object) -> None:
    sample = parse_system_profiler(system_profiler(None, display(sppci_cores=cores)))
    assert sample is not None
    assert (sample.gpu_name, sample.gpu_cores) == ("Apple M7 Ultra", None)


@pytest.mark.parametrize(
    "other",
    [
        {"spdisplays_vendor": "sppci_vendor_amd"},
        {"spdisplays_vendor": None},
        {"sppci_device_type": "spdisplays_display"},
        {"sppci_device_type": ["spdisplays_gpu"]},
    ],
)
def test_only_an_apple_gpu_is_read(other: dict[str, Any]) -> None:
    sample = parse_system_profiler(system_profiler(None, display(**other, sppci_cores="7"), display()))
    assert sample is not None
    assert sample.gpu_cores == 96
    alone = parse_system_profiler(system_profiler(None, display(**other)))
    assert alone is not None
    assert (alone.gpu_name, alone.gpu_cores) == (None, None)


def test_a_chip_name_that_cannot_be_shown_is_unreadable() -> None:
    for name in ("", "  ", "A" * 500, "Apple\nM4", "\ud800", "\ufffd", 4, None, ["Apple M4"]):
        sample = parse_system_profiler(system_profiler({"chip_type": name}))
        assert sample is not None
        assert sample.chip_type is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"Apple M4"',
        b"\xff\xfe",
        system_profiler()[:-3],
        json.dumps({"SPHardwareDataType": {"chip_type": "Apple M4"}}).encode(),
        json.dumps({"SPHardwareDataType": ["chip_type"], "SPDisplaysDataType": 7}).encode(),
        b"[" * 200_000,
        b'{"SPHardwareDataType": ' + b"9" * 5000 + b"}",
    ],
    ids=["empty", "null", "list", "table", "text", "bytes", "torn", "no list", "no tables", "deep", "huge"],
)
def test_what_is_no_report_is_none(data: bytes) -> None:
    assert parse_system_profiler(data) is None
