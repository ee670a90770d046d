"""powermetrics: units, parked clusters, stalled counters, torn samples."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest

from mlops.hardware.apple import HardwareSample, ThermalState, parse_powermetrics
from mlops.hardware.base import CpuLevel
from tests.mlops.hardware.apple.inputs import cluster, powermetrics

BUSY = [cluster("P-Cluster", ((0.2, 0.0), (0.4, 0.0)))]
IDLE = [cluster("P-Cluster", ((0.96, 0.0), (0.02, 0.96)))]


def parsed(processor: dict[str, Any] | None = None, **others: Any) -> HardwareSample:
    sample = parse_powermetrics(powermetrics(processor, **others))
    assert sample is not None
    return sample


def test_a_sample_parses_to_figures_in_our_units() -> None:
    assert parsed().figures == {
        "model": "Mac17,1",
        "elapsed_s": 1.0,
        "cpu_levels": (CpuLevel("E-Cluster", 2, 0.25, 3000.0), CpuLevel("P-Cluster", 1, 0.5, 3000.0)),
        "cpu_utilization_percent": pytest.approx(100 / 3),
        "gpu_utilization_percent": 75.0,
        "gpu_frequency_mhz": 1398.0,
        "cpu_power_w": 2.0,
        "gpu_power_w": 0.5,
        "ane_power_w": 0.25,
        "package_power_w": 2.75,
        "energy_j": 2.75,
        "thermal_state": ThermalState.FAIR,
        "thermal_source": "powermetrics",
    }


def test_what_is_less_than_it_seems_is_remarked() -> None:
    assert parsed().quality == (
        "package_power_w: CPU, GPU and ANE only",
        "energy_j: CPU, GPU and ANE only",
        "ane_power_w: an estimate: the Neural Engine has no public utilisation figure",
        "thermal_state: mapped from the thermal pressure, which is another scale",
    )


def test_a_parked_cluster_is_not_active() -> None:
    parked = cluster("P1-Cluster", ((0.0056, 0.993), (0.0056, 0.9944)))
    levels = parsed({"clusters": [parked]}).cpu_levels
    assert levels is not None
    assert levels[0].active_ratio == pytest.approx(0.0007)


def test_activity_is_that_of_the_cpus_and_not_of_their_cluster() -> None:
    one_of_two = cluster("E-Cluster", ((1.0, 0.0), (0.0, 0.0)))
    levels = parsed({"clusters": [one_of_two | {"idle_ratio": 0.0}]}).cpu_levels
    assert levels is not None
    assert levels[0].active_ratio == 0.5


def test_ratios_that_add_up_to_more_than_one_by_rounding_are_no_activity() -> None:
    assert parsed({"clusters": [cluster(cpus=((0.002451, 0.99755),))]}).cpu_utilization_percent == 0.0
    assert parsed({"clusters": [cluster(cpus=((0.6, 0.6),))]}).cpu_utilization_percent is None


@pytest.mark.parametrize("ratio", ["idle_ratio", "down_ratio"])
@pytest.mark.parametrize("value", [None, 1.5, -0.5, "0.5", float("nan")])
def test_one_unreadable_cpu_leaves_its_cluster_and_the_whole_unknown(ratio: str, value: object) -> None:
    torn, good = cluster("E-Cluster", ((0.5, 0.0), (0.5, 0.0))), cluster("P-Cluster", ((0.5, 0.0),))
    torn["cpus"][1] = {key: each for key, each in torn["cpus"][1].items() if key != ratio}
    if value is not None:
        torn["cpus"][1][ratio] = value
    sample = parsed({"clusters": [torn, good]})
    assert sample.cpu_levels == (
        CpuLevel("E-Cluster", 2, None, 3000.0),
        CpuLevel("P-Cluster", 1, 0.5, 3000.0),
    )
    assert sample.cpu_utilization_percent is None


@pytest.mark.parametrize(
    "broken",
    [{"name": 7}, {"name": ""}, {"cpus": {}}, {"cpus": []}],
    ids=["name", "no name", "cpus", "no cpus"],
)
def test_an_unreadable_cluster_leaves_no_partial_list(broken: dict[str, object]) -> None:
    sample = parsed({"clusters": [cluster("E-Cluster"), cluster() | broken]})
    assert (sample.cpu_levels, sample.cpu_utilization_percent) == (None, None)
    assert parsed({"clusters": [cluster("E-Cluster"), "P-Cluster"]}).cpu_levels is None


def test_three_kinds_of_clusters_keep_the_names_the_machine_gives() -> None:
    levels = parsed(
        {"clusters": [cluster("M-Cluster"), cluster("P-Cluster"), cluster("S-Cluster")]}
    ).cpu_levels
    assert levels is not None
    assert [each.name for each in levels] == ["M-Cluster", "P-Cluster", "S-Cluster"]


@pytest.mark.parametrize(
    ("hz", "mhz"), [(4.05e9, 4050.0), (0, 0.0), (4050, None), (4.05e12, None), ("4", None)]
)
def test_a_clusters_frequency_is_in_hertz_and_not_believed_in_another_unit(
    hz: float, mhz: float | None
) -> None:
    levels = parsed({"clusters": [cluster() | {"freq_hz": hz}]}).cpu_levels
    assert levels is not None
    assert levels[0].frequency_mhz == mhz


@pytest.mark.parametrize(("told", "mhz"), [(338.0, 338.0), (0.0, 0.0), (338e6, None), (True, None)])
def test_the_gpus_frequency_is_in_megahertz_whatever_its_key_says(told: float, mhz: float | None) -> None:
    assert parsed(gpu={"freq_hz": told, "idle_ratio": 0.9}).gpu_frequency_mhz == mhz


@pytest.mark.parametrize("ratio", [-0.1, 1.1, "0.5", None])
def test_an_impossible_idle_ratio_of_the_gpu_is_unreadable(ratio: object) -> None:
    gpu = {"freq_hz": 338.0} | ({"idle_ratio": ratio} if ratio is not None else {})
    assert parsed(gpu=gpu).gpu_utilization_percent is None


@pytest.mark.parametrize(
    "stopped",
    [{"cpu_power": 0.0, "cpu_energy": 0}, {"cpu_power": 0.0, "cpu_energy": None}, {"cpu_energy": 0}],
)
def test_stalled_counters_of_macos_27_are_unknown_and_said_to_be(stopped: dict[str, object]) -> None:
    sample = parsed({"clusters": BUSY, **stopped})
    assert (sample.cpu_power_w, sample.package_power_w, sample.energy_j) == (None, None, None)
    assert (sample.gpu_power_w, sample.ane_power_w) == (0.5, 0.25)
    stalled = "the CPU's counters stalled: 0 at 70% activity"
    assert f"cpu_power_w: {stalled}" in sample.quality
    assert f"package_power_w: {stalled}" in sample.quality
    assert (f"energy_j: {stalled}" in sample.quality) == (stopped.get("cpu_energy", 2000) is not None)
    assert not any("only" in each for each in sample.quality)


def test_stalled_counters_show_though_one_cpu_is_unreadable() -> None:
    some = cluster("P-Cluster", ((0.0, 0.0), (7.0, 0.0)))
    sample = parsed({"clusters": [some], "cpu_power": 0.0})
    assert (sample.cpu_utilization_percent, sample.cpu_power_w) == (None, None)


def test_an_idle_cpu_at_zero_watts_is_a_reading() -> None:
    sample = parsed({"clusters": IDLE, "cpu_power": 0.0, "cpu_energy": 0, "combined_power": 750.0})
    assert (sample.cpu_power_w, sample.package_power_w, sample.energy_j) == (0.0, 0.75, 0.75)
    assert not any("stalled" in each for each in sample.quality)


def test_zero_watts_without_any_cpus_activity_stay_what_was_read() -> None:
    sample = parsed({"clusters": None, "cpu_power": 0.0})
    assert (sample.cpu_power_w, sample.cpu_levels) == (0.0, None)


@pytest.mark.parametrize("missing", ["cpu_energy", "gpu_energy", "ane_energy"])
def test_energy_is_counted_and_never_made_of_power(missing: str) -> None:
    sample = parsed({missing: None})
    assert sample.energy_j is None
    assert sample.package_power_w == 2.75


@pytest.mark.parametrize("value", ["2000", -1, 1e30, float("nan"), float("inf"), True, [2000]], ids=str)
def test_what_is_no_power_and_no_energy_is_unreadable(value: object) -> None:
    sample = parsed({"gpu_power": value, "gpu_energy": value})
    assert (sample.gpu_power_w, sample.energy_j) == (None, None)
    assert sample.cpu_power_w == 2.0


@pytest.mark.parametrize(
    ("pressure", "state"),
    [
        ("Nominal", ThermalState.NOMINAL),
        ("Moderate", ThermalState.FAIR),
        ("Heavy", ThermalState.SERIOUS),
        ("Trapping", ThermalState.CRITICAL),
        ("Sleeping", ThermalState.CRITICAL),
        ("Boiling", None),
        (0, None),
    ],
)
def test_thermal_pressure_is_mapped_by_name(pressure: object, state: ThermalState | None) -> None:
    sample = parsed(thermal_pressure=pressure)
    assert sample.thermal_state is state
    assert sample.thermal_source == ("powermetrics" if state else None)


SECOND = powermetrics(elapsed_ns=2_000_000_000)


@pytest.mark.parametrize("between", [b"\0", b"\n\0", b"\0\n", b"\n\0\n"])
def test_of_nul_separated_samples_the_last_one_counts(between: bytes) -> None:
    sample = parse_powermetrics(between.join([powermetrics(), SECOND]) + between)
    assert sample is not None
    assert sample.elapsed_s == 2.0


@pytest.mark.parametrize("left", [0, 1, 60, 400, len(SECOND.rstrip()) - 1])
def test_a_torn_last_sample_gives_way_to_the_one_before(left: int) -> None:
    sample = parse_powermetrics(powermetrics() + b"\0" + SECOND[:left])
    assert sample is not None
    assert sample.elapsed_s == 1.0


def test_an_empty_last_sample_is_not_replaced_by_an_older_one() -> None:
    assert parse_powermetrics(powermetrics() + b"\0" + plistlib.dumps({"is_delta": True})) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"powermetrics must be invoked as the superuser\n",
        plistlib.dumps([1]),
        plistlib.dumps({"processor": [], "gpu": "off", "elapsed_ns": "1", "hw_model": 17}),
        plistlib.dumps({"gpu": {"freq_hz": 338.0}}, fmt=plistlib.FMT_BINARY),
        powermetrics()[:-20],
        b"<plist><date>soon</date></plist>",
        b"<plist><integer>" + b"9" * 5000 + b"</integer></plist>",
        b'<?xml version="1.0" encoding="none-such"?><plist><dict/></plist>',
        b"<array>" * 100_000,
    ],
    ids=["empty", "nul", "refused", "list", "types", "binary", "torn", "date", "huge", "encoding", "deep"],
)
def test_what_is_no_sample_is_none(data: bytes) -> None:
    assert parse_powermetrics(data) is None


def without_down_ratio(used: list[object]) -> dict[str, object]:
    """A cluster of one CPU of a system that does not tell how long it was parked."""
    its = cluster("P-Cluster", ((0.75, 0.0),))
    (cpu,) = its["cpus"]
    del cpu["down_ratio"]
    cpu["dvfm_states"] = [{"freq": 600 * (at + 1), "used_ratio": ratio} for at, ratio in enumerate(used)]
    return its


@pytest.mark.parametrize(
    ("used", "active"),
    [
        ([0.125, 0.125], 0.25),
        ([0.0, 0.0], 0.0),
        ([0.125, "x"], None),
        ([0.75, 0.75], None),
        ([], None),
    ],
)
def test_without_a_down_ratio_a_cpu_is_active_as_long_as_it_ran_at_its_frequencies(
    used: list[object], active: float | None
) -> None:
    sample = parse_powermetrics(powermetrics({"clusters": [without_down_ratio(used)]}))

    assert sample is not None
    assert sample.cpu_levels is not None
    assert sample.cpu_levels[0].active_ratio == active
