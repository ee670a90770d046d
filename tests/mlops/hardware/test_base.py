from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from mlops.hardware.base import (
    AppleSiliconMetrics,
    HardwareSample,
    MemoryPressure,
    ThermalState,
    merged,
    number,
    remarked,
    sampled,
    whole,
)


def test_a_sample_knows_the_source_of_each_figure_and_goes_to_json() -> None:
    sample = sampled("ioreg", gpu_utilization_percent=0.0, gpu_memory_bytes=None)

    assert sample is not None
    assert sample.figures == {"gpu_utilization_percent": 0.0}
    assert sample.sources == {"gpu_utilization_percent": "ioreg"}
    assert json.loads(json.dumps(asdict(sample)))["gpu_utilization_percent"] == 0.0


def test_nothing_read_and_nothing_to_remark_is_no_sample() -> None:
    assert sampled("ioreg", gpu_utilization_percent=None) is None
    assert sampled("ioreg", ("gpu_utilization_percent: stalled",)) is not None


def test_merging_takes_the_first_reading_and_no_remark_on_another() -> None:
    first = sampled("zeus", cpu_power_w=3.0)
    second = sampled(
        "powermetrics",
        ("cpu_power_w: over 1.0 s", "ane_power_w: an estimate"),
        cpu_power_w=9.0,
        ane_power_w=0.0,
    )
    assert first is not None
    assert second is not None

    both = merged(first, second)

    assert both.figures == {"cpu_power_w": 3.0, "ane_power_w": 0.0}
    assert both.sources == {"cpu_power_w": "zeus", "ane_power_w": "powermetrics"}
    assert both.quality == ("ane_power_w: an estimate",)


def test_a_remark_goes_with_the_sample_that_its_figure_is_taken_from() -> None:
    first = HardwareSample(
        quality=("energy_j: told from 5 s on", "chip_type: hidden by Rosetta", "ane_power_w: an estimate")
    )
    second = sampled(
        "powermetrics",
        ("energy_j: CPU, GPU and ANE only",),
        chip_type="Apple M4",
        energy_j=2.0,
        elapsed_s=1.0,
    )
    assert second is not None

    both = merged(first, second)

    assert (both.energy_j, both.chip_type) == (2, "Apple M4")
    assert both.quality == ("ane_power_w: an estimate", "energy_j: CPU, GPU and ANE only")


def test_what_is_taken_back_has_no_source() -> None:
    first, second = sampled("a", elapsed_s=9.0), sampled("b", energy_j=1.0)
    assert first is not None
    assert second is not None

    both = merged(first, second)

    assert both.figures == {"energy_j": 1.0}
    assert both.sources == {"energy_j": "b"}


def test_a_remark_names_its_figure() -> None:
    assert remarked("energy_j: told from 5 s on: soon") == "energy_j"
    assert remarked("odd") == "odd"


def test_the_elapsed_time_stays_with_its_energy() -> None:
    known = HardwareSample(energy_j=5.0, elapsed_s=2.0)
    unknown = HardwareSample(elapsed_s=9.0)

    assert merged(unknown, known).figures == {"energy_j": 5.0, "elapsed_s": 2.0}
    assert merged(known, unknown).figures == {"energy_j": 5.0, "elapsed_s": 2.0}
    assert merged(HardwareSample(energy_j=1.0), known).figures == {"energy_j": 1.0}


def test_the_summary_keeps_what_is_unknown_unknown() -> None:
    summary = AppleSiliconMetrics.of(HardwareSample(chip_type="Apple M4", thermal_state=ThermalState.FAIR))

    assert summary == AppleSiliconMetrics("Apple M4", None, None, None, ThermalState.FAIR, None)


def test_states_read_as_their_names_and_their_levels() -> None:
    assert [state.level for state in ThermalState] == [0, 1, 2, 3]
    assert ThermalState.SERIOUS == "serious"
    assert MemoryPressure.WARN == 2


@pytest.mark.parametrize(
    "value", [True, "5", None, float("nan"), float("inf"), -0.1, 100.1, pytest.param(10**400, id="huge")]
)
def test_what_is_no_reading_is_none(value: object) -> None:
    assert number(value, 0, 100) is None


def test_zero_is_a_reading() -> None:
    assert number(0, 0, 100) == 0.0
    assert whole(0, 0, 10) == 0
    assert whole(0.0, 0, 10) is None
    assert whole(True, 0, 10) is None
    assert whole(11, 0, 10) is None
