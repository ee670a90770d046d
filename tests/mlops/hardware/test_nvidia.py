"""NVML's figures, over a stand-in that answers as the library does, and the real one where a GPU is."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from mlops.hardware.base import Gpu, HardwareSample
from mlops.hardware.nvidia import Nvidia, nvidia, opened


class NVMLError(Exception):
    pass


@dataclass
class Card:
    """One GPU's answers; an error is raised."""

    name: Any = "NVIDIA H200"
    util: Any = 37
    used: Any = 4 * 2**30
    total: Any = 141 * 10**9
    milliwatts: Any = 125_500
    millijoules: Any = 9_000_000


@dataclass
class Library:
    """The functions of pynvml that are used."""

    cards: list[Card]
    driver: bool = True
    NVMLError: type[Exception] = field(default=NVMLError)

    def nvmlInit(self) -> None:
        if not self.driver:
            raise NVMLError("NVML Shared Library Not Found")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        return self.cards[index]

    def nvmlDeviceGetName(self, handle: Card) -> Any:
        return told(handle.name)

    def nvmlDeviceGetUtilizationRates(self, handle: Card) -> Any:
        return SimpleNamespace(gpu=told(handle.util), memory=12)

    def nvmlDeviceGetMemoryInfo(self, handle: Card) -> Any:
        return SimpleNamespace(used=told(handle.used), total=told(handle.total), free=0)

    def nvmlDeviceGetPowerUsage(self, handle: Card) -> Any:
        return told(handle.milliwatts)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Card) -> Any:
        return told(handle.millijoules)


def told(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def opened_long_ago(library: Library) -> Nvidia:
    """A reader that is a minute older at each look at the clock."""
    minutes = itertools.count()
    return Nvidia(library, clock=lambda: 60.0 * next(minutes))


def read(reader: Nvidia) -> HardwareSample:
    found = reader.read()
    assert found is not None
    return found


UNSUPPORTED = NVMLError("Not Supported")


def test_figures_come_in_watts_joules_and_bytes() -> None:
    card = Card()
    seconds = iter([100.0, 103.5])
    reader = Nvidia(Library([card]), clock=lambda: next(seconds))
    card.millijoules += 400_250

    sample = read(reader)

    assert sample.figures == {
        "gpu_name": "NVIDIA H200",
        "gpu_utilization_percent": 37.0,
        "gpu_power_w": 125.5,
        "gpu_memory_bytes": 4 * 2**30,
        "gpu_memory_total_bytes": 141 * 10**9,
        "energy_j": pytest.approx(400.25),
        "elapsed_s": 3.5,
    }
    assert sample.quality == ("energy_j: GPUs only",)
    assert set(sample.sources.values()) == {"NVML"}


def test_other_gpus_stand_behind_the_first_and_their_energy_in_the_sum() -> None:
    cards = [Card(), Card(name=b"Tesla T4", util=0, milliwatts=9_000, used=0, total=15 * 2**30)]
    reader = opened_long_ago(Library(cards))
    cards[0].millijoules += 1_000
    cards[1].millijoules += 2_000

    sample = read(reader)

    assert reader.names == ("NVIDIA H200", "Tesla T4")
    assert sample.other_gpus == (Gpu("Tesla T4", 0.0, 9.0, 0, 15 * 2**30),)
    assert sample.energy_j == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"util": UNSUPPORTED}, {"gpu_utilization_percent"}),
        ({"used": UNSUPPORTED}, {"gpu_memory_bytes", "gpu_memory_total_bytes"}),
        ({"milliwatts": UNSUPPORTED}, {"gpu_power_w"}),
        ({"milliwatts": 2**32 - 1}, {"gpu_power_w"}),
        ({"used": 2**64 - 1}, {"gpu_memory_bytes"}),
        ({"millijoules": UNSUPPORTED}, {"energy_j", "elapsed_s"}),
        ({"name": UNSUPPORTED}, {"gpu_name"}),
    ],
    ids=["utilization", "memory", "power", "no power", "no memory", "energy", "name"],
)
def test_what_a_gpu_does_not_tell_is_none_and_the_rest_is_told(
    change: dict[str, Any], missing: set[str]
) -> None:
    everything = set(read(opened_long_ago(Library([Card()]))).figures)
    assert everything - set(read(opened_long_ago(Library([Card(**change)]))).figures) == missing


def test_the_energy_of_some_gpus_is_not_the_energy() -> None:
    sample = read(opened_long_ago(Library([Card(), Card(millijoules=UNSUPPORTED)])))
    assert (sample.energy_j, sample.elapsed_s) == (None, None)
    assert sample.quality == ("energy_j: not told by every GPU",)


def test_no_time_has_no_energy_and_says_why() -> None:
    seconds = iter([100.0, 100.9, 101.0])
    reader = Nvidia(Library([Card()]), clock=lambda: next(seconds))

    at_once, later = read(reader), read(reader)

    assert (at_once.energy_j, at_once.elapsed_s) == (None, None)
    assert at_once.quality == ("energy_j: told from 1 s on",)
    assert (later.energy_j, later.elapsed_s) == (0, 1)
    assert later.quality == ("energy_j: GPUs only",)


def test_a_counter_that_goes_back_gives_no_energy() -> None:
    card = Card()
    reader = opened_long_ago(Library([card]))
    card.millijoules = 5
    assert read(reader).energy_j is None


def test_a_counter_that_fails_once_counts_on() -> None:
    card = Card(millijoules=0)
    reader = opened_long_ago(Library([card]))
    card.millijoules = UNSUPPORTED
    assert read(reader).energy_j is None
    card.millijoules = 7_000
    assert read(reader).energy_j == pytest.approx(7.0)


def test_a_gpu_that_is_gone_tells_nothing_but_that() -> None:
    card = Card()
    reader = opened_long_ago(Library([card]))
    gone = NVMLError("GPU is lost")
    card.name = card.util = card.used = card.total = card.milliwatts = card.millijoules = gone
    assert read(reader).figures == {}


@pytest.mark.parametrize("library", [Library([], driver=False), Library([])], ids=["no driver", "no GPU"])
def test_without_driver_or_gpu_there_is_no_reader(library: Library) -> None:
    assert opened(library) is None


def test_pynvml_is_not_imported_with_the_module() -> None:
    code = "import sys, mlops.hardware.nvidia; print([m for m in sys.modules if 'nvml' in m])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_gpus_of_this_machine() -> None:
    reader = nvidia()
    if reader is None:
        pytest.skip("this machine has no NVIDIA GPU")
    sample = read(reader)
    assert sample.gpu_name == reader.names[0]
    assert sample.gpu_memory_total_bytes is None or sample.gpu_memory_total_bytes > 2**30
