"""What is not known of a machine, and the true reason."""

from __future__ import annotations

import pytest

from mlops.hardware.base import CpuLevel, HardwareSample, sampled
from mlops.hardware.machine import open_readers
from mlops.hardware.overview import overview
from mlops.hardware.reader import Readers, Unopened
from tests.mlops.hardware.apple import inputs
from tests.mlops.hardware.macs import Commands, mac


class Told:
    """A reader of one answer; an exception is raised."""

    def __init__(self, name: str, tells: tuple[str, ...], answer: HardwareSample | Exception | None) -> None:
        self.name, self.tells, self._answer = name, tells, answer

    def read(self) -> HardwareSample | None:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def unread(commands: Commands, *, powermetrics: bool = False) -> dict[str, str]:
    return overview(open_readers(system="Darwin", run=commands, powermetrics=powermetrics)).unread


def test_a_mac_says_which_command_failed_to_tell_a_figure() -> None:
    reasons = unread(mac(profile=OSError("busy"), ane=b"", mode=b"no settings\n"))

    assert reasons["gpu_cores"] == reasons["gpu_name"] == "system_profiler: OSError: busy"
    assert reasons["ane_cores"] == "ioreg ANE: it gave nothing"
    assert reasons["power_mode"] == "pmset: it gave nothing"
    assert "IOReport: ModuleNotFoundError" in reasons["energy_j"]


def test_the_two_sources_of_a_figure_are_both_told() -> None:
    reasons = unread(mac(facts=OSError("busy"), profile=OSError("busy")))

    assert reasons["model"] == "sysctl facts: OSError: busy; system_profiler: OSError: busy"
    assert reasons["rosetta"] == "sysctl facts: OSError: busy"


def test_what_powermetrics_alone_tells_is_said_unless_it_was_asked() -> None:
    refused = unread(mac(), powermetrics=True)

    for figure in ("gpu_frequency_mhz", "cpu_levels.active_ratio"):
        assert unread(mac())[figure] == "powermetrics alone tells it, as root"
        assert refused[figure].startswith("powermetrics: CalledProcessError")


def test_the_activity_of_levels_is_missed_only_where_it_is_missing() -> None:
    topology = b"hw.nperflevels: 2\nhw.perflevel0.name: Performance\nhw.perflevel0.physicalcpu: 1\n"
    topology += b"hw.perflevel1.name: Efficiency\nhw.perflevel1.physicalcpu: 2\n"
    commands = mac(powermetrics=inputs.powermetrics(), facts=topology)

    assert "cpu_levels.active_ratio" not in unread(commands, powermetrics=True)
    assert "cpu_levels.active_ratio" not in unread(mac(facts=b"hw.model: Mac16,5\n"))


def test_a_remark_is_the_first_reason() -> None:
    remark = sampled("IOReport", ("energy_j: told from 5 s on",))
    readers = Readers([Told("IOReport", ("energy_j",), remark)], system="Darwin")

    assert overview(readers).unread["energy_j"] == "told from 5 s on"


@pytest.mark.parametrize("system", ["Darwin", "Linux"])
def test_a_reader_that_failed_or_was_not_opened_is_the_reason_on_every_system(system: str) -> None:
    readers = Readers(
        [Told("NVML", ("gpu_power_w",), OSError("the GPU is lost"))],
        [Unopened("IOReport", ("dram_power_w",), "no wheel")],
        system,
    )
    for _ in range(4):
        reasons = overview(readers).unread

    assert reasons["gpu_power_w"] == "NVML: OSError: the GPU is lost"
    assert reasons["dram_power_w"] == "IOReport: no wheel"
    assert reasons["power_mode"] == f"nothing on {system} tells it here"


def test_a_reader_that_is_well_and_has_no_figure_is_named() -> None:
    levels = sampled("psutil", cpu_levels=(CpuLevel("cpu", 4),))
    readers = Readers([Told("psutil", ("cpu_levels", "cpu_levels.active_ratio"), levels)], system="Linux")

    assert overview(readers).unread["cpu_levels.active_ratio"] == "psutil did not tell it at this reading"


def test_the_version_of_a_mac_is_its_own() -> None:
    seen = overview(open_readers(system="Darwin", run=mac()))

    assert seen.operating_system == "macOS 26.2"
    assert "os_version" not in seen.unread
