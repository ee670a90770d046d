"""ioreg: the GPU's statistics and the Neural Engine."""

from __future__ import annotations

import plistlib

import pytest

from mlops.hardware.apple import parse_ioreg_accelerator, parse_ioreg_ane
from tests.mlops.hardware.apple.inputs import ioreg_ane, ioreg_gpu


def test_the_gpus_statistics_parse() -> None:
    sample = parse_ioreg_accelerator(ioreg_gpu())
    assert sample is not None
    assert sample.figures == {
        "gpu_utilization_percent": 42.0,
        "gpu_renderer_utilization_percent": 40.0,
        "gpu_tiler_utilization_percent": 0.0,
        "gpu_memory_bytes": 1_500_000_000,
    }
    assert sample.sources == dict.fromkeys(sample.figures, "ioreg")


def test_an_idle_gpu_is_a_reading() -> None:
    sample = parse_ioreg_accelerator(ioreg_gpu(device=0, renderer=0, memory=0))
    assert sample is not None
    assert (sample.gpu_utilization_percent, sample.gpu_memory_bytes) == (0.0, 0)


@pytest.mark.parametrize("value", [101, -1, 2**64 - 1, "42", True, [42]], ids=str)
def test_an_impossible_percentage_is_unreadable_and_the_others_stay(value: object) -> None:
    sample = parse_ioreg_accelerator(ioreg_gpu(device=value))
    assert sample is not None
    assert sample.gpu_utilization_percent is None
    assert sample.gpu_renderer_utilization_percent == 40.0


@pytest.mark.parametrize("value", [-1, 2**60, 1.5, "1500000000"])
def test_an_impossible_amount_of_memory_is_unreadable(value: object) -> None:
    sample = parse_ioreg_accelerator(ioreg_gpu(memory=value))
    assert sample is not None
    assert sample.gpu_memory_bytes is None


@pytest.mark.parametrize(
    "kind", ["AppleParavirtGPU", "IntelAccelerator", "AMDRadeonX6000_AmdRadeonController"]
)
def test_the_gpu_of_a_hosted_virtual_machine_or_an_intel_mac_is_not_read(kind: str) -> None:
    assert parse_ioreg_accelerator(ioreg_gpu(kind)) is None


def test_the_apple_gpu_is_found_beside_others() -> None:
    both = plistlib.loads(ioreg_gpu("AppleParavirtGPU", device=9)) + plistlib.loads(ioreg_gpu())
    sample = parse_ioreg_accelerator(plistlib.dumps(both))
    assert sample is not None
    assert sample.gpu_utilization_percent == 42.0


@pytest.mark.parametrize("key", ["IOClass", "IOObjectClass"])
def test_one_of_the_two_class_names_is_enough(key: str) -> None:
    (entry,) = plistlib.loads(ioreg_gpu())
    del entry[key]
    assert parse_ioreg_accelerator(plistlib.dumps([entry])) is not None


@pytest.mark.parametrize("parse", [parse_ioreg_accelerator, parse_ioreg_ane])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        ioreg_gpu()[:-10],
        ioreg_ane(16)[:-10],
        plistlib.dumps({"IOClass": "AGXAcceleratorG17X"}),
        plistlib.dumps(["AGXAcceleratorG17X", 16, []]),
        plistlib.dumps([{"IOClass": 17, "PerformanceStatistics": {"Device Utilization %": 42}}]),
        plistlib.dumps([{"IOClass": "AGXAcceleratorG17X", "PerformanceStatistics": [42]}]),
    ],
    ids=["no match", "blank", "torn gpu", "torn ane", "table", "list of others", "types", "no statistics"],
)
def test_no_match_and_torn_output_are_none(parse, data: bytes) -> None:
    assert parse(data) is None


def test_the_neural_engine_parses() -> None:
    sample = parse_ioreg_ane(ioreg_ane(16))
    assert sample is not None
    assert sample.figures == {"ane_available": True, "ane_cores": 16, "ane_architecture": "h18g"}
    assert sample.quality == ()


def test_two_neural_engines_of_an_ultra_are_counted_together() -> None:
    sample = parse_ioreg_ane(ioreg_ane(16, 16))
    assert sample is not None
    assert sample.ane_cores == 32
    assert sample.quality == ("ane_cores: of 2 Neural Engines together",)


@pytest.mark.parametrize("cores", [0, -1, 10_000, "16", True])
def test_impossible_cores_are_unreadable_and_the_engine_is_there(cores: object) -> None:
    for data in (ioreg_ane(cores), ioreg_ane(16, cores)):
        sample = parse_ioreg_ane(data)
        assert sample is not None
        assert sample.figures == {"ane_available": True, "ane_architecture": "h18g"}
        assert sample.quality == ()


@pytest.mark.parametrize(
    "architecture", ["", "h\0g", 18, "h" * 1000], ids=["none", "control", "number", "long"]
)
def test_an_unreadable_architecture_is_none(architecture: object) -> None:
    data = ioreg_ane(16, architecture="@").replace(
        b"<string>@</string>",
        f"<string>{architecture}</string>".encode()
        if isinstance(architecture, str)
        else b"<integer>18</integer>",
    )
    sample = parse_ioreg_ane(data)
    assert sample is None or sample.ane_architecture is None


def test_an_engine_without_properties_is_there_all_the_same() -> None:
    sample = parse_ioreg_ane(plistlib.dumps([{"IOObjectClass": "H11ANEIn"}]))
    assert sample is not None
    assert sample.figures == {"ane_available": True}
