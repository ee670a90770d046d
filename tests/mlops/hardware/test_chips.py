"""The chip table: what is in it, what of it holds for a smaller bin, and what is not guessed."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, asdict

import pytest

from mlops.errors import InvalidInput
from mlops.hardware.chips import _TABLE, Chip, chip

FIGURES = ("gpu_cores", "bandwidth_gb_s", "fp32_tflops", "ane_cores", "ane_tops")


def known(name: str, gpu_cores: int | None = None) -> Chip:
    found = chip(name, gpu_cores)
    assert found is not None
    return found


def test_a_chip_without_its_gpu_cores_is_the_largest_bin_and_says_so() -> None:
    found = known("Apple M4 Max")

    assert (found.gpu_cores, found.bandwidth_gb_s, found.ane_cores) == (40, 546, 16)
    assert found.sources["bandwidth_gb_s"].endswith("(40-core GPU)")


@pytest.mark.parametrize(
    ("name", "gpu_cores", "bandwidth"),
    [
        ("Apple M1 Pro", 14, 200),
        ("Apple M1 Pro", 16, 200),
        ("Apple M3 Max", 30, 300),
        ("Apple M3 Max", 40, 400),
        ("Apple M4 Max", 32, 410),
        ("Apple M4 Max", 40, 546),
        ("Apple M5 Max", 32, 460),
        ("Apple M3 Ultra", 60, 819),
    ],
)
def test_bandwidth_is_that_of_the_bin(name: str, gpu_cores: int, bandwidth: float) -> None:
    found = known(name, gpu_cores)
    assert (found.gpu_cores, found.bandwidth_gb_s) == (gpu_cores, bandwidth)
    assert found.sources["gpu_cores"] == "the machine itself"
    assert "core GPU" not in found.sources["bandwidth_gb_s"]


def test_throughput_is_scaled_to_no_smaller_bin() -> None:
    assert known("Apple M1 Pro", 16).fp32_tflops == 5.2
    assert known("Apple M1 Pro", 14).fp32_tflops is None
    assert "fp32_tflops" not in known("Apple M1 Pro", 14).sources
    assert known("Apple M1 Pro").sources["fp32_tflops"].endswith("(16-core GPU)")


def test_a_bin_that_is_not_in_the_table_has_no_bandwidth() -> None:
    found = known("Apple M1 Pro", 12)
    assert (found.gpu_cores, found.bandwidth_gb_s, found.fp32_tflops) == (12, None, None)
    assert found.ane_cores == 16


@pytest.mark.parametrize("name", ["Apple M7 Ultra", "Apple M4 Ultra", "Apple M1 (Virtual)", "Apple A18 Pro"])
def test_a_chip_that_is_not_in_the_table_is_named_and_has_no_figure(name: str) -> None:
    assert chip(name) == Chip(name)
    assert chip(name, 96) == Chip(name, gpu_cores=96, sources={"gpu_cores": "the machine itself"})


@pytest.mark.parametrize(
    "name", ["", "Intel(R) Xeon(R) Processor", "M4 Max", "Applesauce M1", "VirtualApple"]
)
def test_what_apple_did_not_make_is_no_chip(name: str) -> None:
    assert chip(name) is None


def test_the_m6_has_no_bandwidth_since_it_depends_on_the_memory() -> None:
    assert known("Apple M6", 12).bandwidth_gb_s is None


@pytest.mark.parametrize("name", sorted(_TABLE))
@pytest.mark.parametrize("top", [True, False])
def test_each_figure_has_its_source_and_nothing_else_has_one(name: str, top: bool) -> None:
    row = _TABLE[name]
    found = known(f"Apple {name}", None if top else min(row.bandwidth))

    figures = {figure: getattr(found, figure) for figure in FIGURES}
    assert set(found.sources) == {figure for figure, value in figures.items() if value is not None}
    assert all(found.sources.values())
    assert all(math.isfinite(value) and value > 0 for value in figures.values() if value is not None)


@pytest.mark.parametrize("gpu_cores", [0, -8])
def test_fewer_gpu_cores_than_one_are_refused(gpu_cores: int) -> None:
    with pytest.raises(InvalidInput, match="gpu_cores"):
        chip("Apple M4", gpu_cores)


def test_a_chip_is_frozen_and_hashable() -> None:
    found = known("Apple M4")
    assert hash(found) == hash(known("Apple M4"))
    with pytest.raises(FrozenInstanceError):
        found.ane_tops = 99  # type: ignore[misc]


def test_a_chip_goes_to_json() -> None:
    assert json.loads(json.dumps(asdict(known("Apple M4"))))["sources"]["ane_tops"]
