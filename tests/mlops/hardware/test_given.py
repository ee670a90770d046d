from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops.errors import InvalidInput
from mlops.hardware.base import CpuLevel, MemoryPressure, ThermalState
from mlops.hardware.given import given


def test_figures_are_taken_as_they_are() -> None:
    sample = given(
        {
            "chip_type": "Apple M4",
            "gpu_utilization_percent": 40,
            "gpu_memory_bytes": 0,
            "ane_power_w": 0.5,
            "thermal_state": "fair",
            "memory_pressure_level": 4,
            "power_mode": "low",
            "mps_available": True,
            "cpu_levels": [CpuLevel("Performance", 4, 0.5)],
            "energy_j": None,
        }
    )

    assert sample.figures == {
        "chip_type": "Apple M4",
        "gpu_utilization_percent": 40.0,
        "gpu_memory_bytes": 0,
        "ane_power_w": 0.5,
        "thermal_state": ThermalState.FAIR,
        "thermal_source": "given",
        "memory_pressure_level": MemoryPressure.CRITICAL,
        "power_mode": "low",
        "mps_available": True,
        "cpu_levels": (CpuLevel("Performance", 4, 0.5),),
    }
    assert set(sample.sources.values()) == {"given"}


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("gpu_utilization_percent", 101),
        ("gpu_utilization_percent", float("nan")),
        ("gpu_utilization_percent", "40"),
        ("cpu_power_w", -1),
        ("gpu_frequency_mhz", 1.4e9),
        ("gpu_memory_bytes", 1.5),
        ("gpu_cores", True),
        ("gpu_cores", 0),
        ("gpu_power_w", np.array([1.0, 2.0])),
        ("thermal_state", "hot"),
        ("thermal_state", 1),
        ("memory_pressure_level", 3),
        ("memory_pressure_level", True),
        ("power_mode", "turbo"),
        ("power_source", []),
        ("ane_available", 1),
        ("chip_type", ""),
        ("chip_type", 4),
        ("elapsed_s", float("inf")),
        ("cpu_levels", "Performance"),
        ("cpu_levels", []),
        ("cpu_levels", [("Performance", 4)]),
    ],
)
def test_what_is_no_such_figure_is_refused_by_name_and_value(figure: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=figure) as caught:
        given({figure: value})
    assert caught.value.field == figure
    assert repr(value) in str(caught.value)
    assert caught.value.remedy


def test_numbers_of_numpy_are_numbers() -> None:
    sample = given({"gpu_power_w": np.float32(1.5), "gpu_memory_bytes": np.int64(7)})

    assert sample.figures == {"gpu_power_w": 1.5, "gpu_memory_bytes": 7}
    assert type(sample.gpu_memory_bytes) is int


def test_a_level_is_checked_too() -> None:
    with pytest.raises(InvalidInput, match=r"cpu_levels\[P\].active_ratio=1.5"):
        given({"cpu_levels": [CpuLevel("P", 4, 1.5)]})


@pytest.mark.parametrize(
    "name", ["gpu_power", "system/gpu_0_power_usage_watts", "sources", "thermal_source", 3]
)
def test_an_unknown_figure_is_refused_with_those_there_are(name: Any) -> None:
    with pytest.raises(InvalidInput, match="gpu_power_w"):
        given({name: 1.0})


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(InvalidInput, match="figures"):
        given([("gpu_power_w", 1.0)])  # type: ignore[arg-type]
