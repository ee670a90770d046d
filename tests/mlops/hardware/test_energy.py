from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlops.hardware.base import HardwareSample
from mlops.hardware.energy import AppleEnergy


class Chip:
    """An imitated chip with IOReport's counters: a clock, energies in mJ, and CPU seconds."""

    def __init__(self, cores: int = 4) -> None:
        self.now, self.busy = 0.0, 0.0
        self.cores = cores
        self.mj: dict[str, int | None] = {"cpu_total_mj": 0, "gpu_mj": 0, "ane_mj": 0, "dram_mj": 0}

    def get_cumulative_energy(self) -> SimpleNamespace:
        return SimpleNamespace(**self.mj)

    def run(self, seconds: float, *, active: float = 0.5, **watts: float) -> None:
        self.now += seconds
        self.busy += active * seconds * self.cores
        for part, power in watts.items():
            key = "cpu_total_mj" if part == "cpu" else f"{part}_mj"
            self.mj[key] = (self.mj[key] or 0) + int(1000 * power * seconds)

    def open(self) -> AppleEnergy:
        return AppleEnergy(self, lambda: (self.busy, self.now * self.cores), lambda: self.now)


def read(energy: AppleEnergy) -> HardwareSample:
    sample = energy.read()
    assert sample is not None
    return sample


def test_power_and_energy_since_it_was_opened() -> None:
    chip = Chip()
    chip.run(100, cpu=50)
    energy = chip.open()
    chip.run(5, cpu=3, gpu=10, ane=0, dram=1)
    read(energy)
    chip.run(5, cpu=1, gpu=2, ane=0.5, dram=1)

    sample = read(energy)

    assert (sample.cpu_power_w, sample.gpu_power_w, sample.ane_power_w) == (1, 2, 0.5)
    assert (sample.package_power_w, sample.dram_power_w) == (3.5, 1)
    assert (sample.energy_j, sample.elapsed_s) == (82.5, 10)
    assert "package_power_w: CPU, GPU and ANE only" in sample.quality
    assert "estimate" in next(remark for remark in sample.quality if remark.startswith("ane_power_w"))


def test_counters_published_in_batches_are_never_told_over_less_than_five_seconds() -> None:
    chip = Chip()
    energy = chip.open()
    told: list[float] = []
    for second in range(1, 31):
        chip.run(1)
        if second % 2 == 0:  # two seconds' worth at once
            chip.mj["cpu_total_mj"] = 4000 * second
            chip.mj["gpu_mj"] = 0
        sample = read(energy)
        if second < 5:
            assert sample.figures == {}
            assert "5 s" in sample.quality[0]
        elif sample.cpu_power_w is not None:
            told.append(sample.cpu_power_w)

    assert len(told) == 26
    assert min(told) >= 3.2  # a window of one second would tell 0 and 8
    assert max(told) <= 4.8


def test_a_counter_that_stalls_while_the_cpu_is_active_is_unreadable() -> None:
    chip = Chip()
    energy = chip.open()
    chip.run(5, active=0.6, cpu=0, gpu=2, ane=0, dram=0)

    sample = read(energy)

    assert (sample.cpu_power_w, sample.package_power_w, sample.energy_j) == (None, None, None)
    assert sample.gpu_power_w == 2
    assert {remark.partition(":")[0] for remark in sample.quality if "stalled" in remark} == {
        "cpu_power_w",
        "package_power_w",
        "energy_j",
    }


def test_an_energy_that_missed_a_stretch_stays_unknown() -> None:
    chip = Chip()
    energy = chip.open()
    chip.run(5, active=0.6, cpu=0, gpu=2)
    read(energy)
    chip.run(5, active=0.6, cpu=7, gpu=2)

    sample = read(energy)

    assert sample.cpu_power_w == 7
    assert sample.energy_j is None
    assert any(remark.startswith("energy_j") and "stalled" in remark for remark in sample.quality)


def test_an_idle_cpu_may_use_nothing() -> None:
    chip = Chip()
    energy = chip.open()
    chip.run(5, active=0.04, cpu=0, gpu=0, ane=0, dram=0)

    sample = read(energy)

    assert (sample.cpu_power_w, sample.package_power_w, sample.energy_j) == (0, 0, 0)
    assert not any("stalled" in remark for remark in sample.quality)


def test_memory_is_no_part_of_the_sum() -> None:
    chip = Chip()
    chip.mj["dram_mj"] = None
    energy = chip.open()
    chip.run(5, cpu=2, gpu=1, ane=0)

    sample = read(energy)

    assert sample.dram_power_w is None
    assert sample.energy_j == 15


@pytest.mark.parametrize("part", ["cpu_total_mj", "gpu_mj", "ane_mj"])
def test_no_sum_without_one_of_its_parts(part: str) -> None:
    chip = Chip()
    chip.mj[part] = None
    energy = chip.open()
    chip.run(5, active=0.01)

    sample = read(energy)

    assert (sample.package_power_w, sample.energy_j) == (None, None)
    assert {each.partition(":")[0] for each in sample.quality if "is missing" in each} == {
        "package_power_w",
        "energy_j",
    }


def test_a_counter_that_goes_back_is_no_reading() -> None:
    chip = Chip()
    chip.run(10, cpu=5, gpu=5)
    energy = chip.open()
    chip.run(5, cpu=5)
    chip.mj["gpu_mj"] = 0

    sample = read(energy)

    assert sample.gpu_power_w is None
    assert sample.energy_j is None


def test_what_the_library_raises_is_raised() -> None:
    class Absent:
        def get_cumulative_energy(self) -> SimpleNamespace:
            raise RuntimeError("IOReport is not here")

    with pytest.raises(RuntimeError, match="IOReport"):
        AppleEnergy(Absent(), lambda: (0.0, 0.0))
