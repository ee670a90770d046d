from __future__ import annotations

import logging
import platform
import subprocess

import pytest

from mlops.hardware.base import FIGURES, AppleSiliconMetrics, CpuLevel, HardwareSample, ThermalState
from mlops.hardware.mac import readers as readers_of_a_mac
from mlops.hardware.machine import open_readers, operating_system, thermal_state
from mlops.hardware.reader import Readers
from tests.mlops.hardware.apple import inputs
from tests.mlops.hardware.macs import FACTS, Commands, mac
from tests.mlops.hardware.test_energy import Chip

HOSTED_VM = FACTS.replace(b"kern.hv_vmm_present: 0", b"kern.hv_vmm_present: 1")


def open_mac(commands: Commands, *, powermetrics: bool = False) -> Readers:
    return open_readers(system="Darwin", run=commands, powermetrics=powermetrics)


def read(commands: Commands) -> HardwareSample:
    return open_mac(commands).read()


def test_everything_that_needs_no_root_is_one_sample() -> None:
    sample = read(mac())

    assert sample.chip_type == "Apple M6 Pro"
    assert (sample.memory_gb, sample.gpu_cores, sample.ane_cores) == (48, 96, 16)
    assert [(level.name, level.cores, level.active_ratio) for level in sample.cpu_levels or ()] == [
        ("Super", 4, None),
        ("Performance", 10, None),
        ("Efficiency", 2, None),
    ]
    assert (sample.gpu_utilization_percent, sample.gpu_memory_bytes) == (42, 1_500_000_000)
    assert (sample.thermal_state, sample.thermal_source) == (ThermalState.SERIOUS, "notifyutil")
    assert (sample.power_mode, sample.power_source) == ("high", "battery")
    assert sample.memory_pressure_level == 1
    assert sample.swap_used_bytes == 12.5 * 2**20
    assert sample.sources["gpu_utilization_percent"] == "ioreg"
    assert sample.sources["cpu_levels"] == "sysctl"
    assert {"cpu_power_w", "package_power_w", "energy_j"}.isdisjoint(sample.figures)


def test_the_summary_of_it() -> None:
    summary = AppleSiliconMetrics.of(read(mac()))

    assert (summary.chip_type, summary.memory_gb, summary.ane_available) == ("Apple M6 Pro", 48, True)
    assert (summary.thermal_state, summary.power_mode) == ("serious", "high")


def test_powermetrics_is_asked_only_when_it_is_wanted_and_never_prompts() -> None:
    without, wanted = mac(), mac()
    open_mac(without).read()
    readers = open_mac(wanted, powermetrics=True)
    readers.read()

    assert "powermetrics" not in without.asked
    assert "powermetrics" in wanted.asked
    assert "CalledProcessError" in readers.troubles["powermetrics"]


def test_powermetrics_adds_powers_and_the_levels_activity_and_sums_the_energy() -> None:
    topology = b"hw.nperflevels: 2\nhw.perflevel0.name: Performance\nhw.perflevel0.physicalcpu: 1\n"
    topology += b"hw.perflevel1.name: Efficiency\nhw.perflevel1.physicalcpu: 2\n"
    commands = mac(powermetrics=inputs.powermetrics(), facts=topology)
    readers = open_mac(commands, powermetrics=True)
    readers.read()

    sample = readers.read()

    assert (sample.cpu_power_w, sample.gpu_power_w, sample.ane_power_w) == (2, 0.5, 0.25)
    assert sample.cpu_levels == (CpuLevel("Performance", 1, 0.5, 3000), CpuLevel("Efficiency", 2, 0.25, 3000))
    assert (sample.energy_j, sample.elapsed_s) == (5.5, 2)
    assert sample.sources["cpu_levels"] == "powermetrics"


def on(figure: str, sample: HardwareSample) -> list[str]:
    return [remark for remark in sample.quality if remark.startswith(f"{figure}: ")]


def test_powermetrics_energy_is_that_of_the_readings_which_had_one() -> None:
    stalled = inputs.powermetrics({"cpu_energy": 0, "cpu_power": 0.0})
    commands = mac(powermetrics=stalled)
    readers = open_mac(commands, powermetrics=True)
    first = readers.read()
    commands.outputs["powermetrics"] = inputs.powermetrics()
    second = readers.read()
    commands.outputs["powermetrics"] = stalled
    third = readers.read()

    assert (first.energy_j, first.elapsed_s) == (None, None)
    assert ["stalled" in remark for remark in on("energy_j", first)] == [True]
    assert (second.energy_j, second.elapsed_s) == (third.energy_j, third.elapsed_s) == (2.75, 1)
    assert on("energy_j", second) == on("energy_j", third) == ["energy_j: CPU, GPU and ANE only"]
    assert third.cpu_power_w is None


def test_powermetrics_energy_without_a_counter_is_none_and_has_no_elapsed_time() -> None:
    sample = open_mac(mac(powermetrics=inputs.powermetrics({"cpu_energy": None})), powermetrics=True).read()

    assert (sample.energy_j, sample.elapsed_s) == (None, None)


def test_system_profiler_runs_once_for_all_runs_of_a_process() -> None:
    commands = mac()
    for _ in range(2):
        readers = open_mac(commands)
        readers.read()
        readers.read()

    assert commands.asked.count("profile") == commands.asked.count("facts") == 1
    assert commands.asked.count("gpu") == 4


def test_in_a_minute_little_more_than_gpu_and_memory_pressure_is_asked() -> None:
    commands = mac()
    readers = open_mac(commands)
    for _ in range(12):
        readers.read()

    assert [commands.asked.count(name) for name in ("gpu", "pressure")] == [12, 12]
    assert [commands.asked.count(name) for name in ("mode", "supply", "vm_stat")] == [1, 1, 1]


def test_a_hosted_virtual_machine_without_ioreport_knows_what_it_does_not_know(
    caplog: pytest.LogCaptureFixture,
) -> None:
    commands = mac(
        facts=HOSTED_VM,
        gpu=inputs.ioreg_gpu("AppleParavirtGPU"),
        ane=b"",
        notify=b"com.apple.system.thermalpressurelevel 0\n",
        profile=inputs.system_profiler({"chip_type": "Apple M1 (Virtual)"}),
    )
    readers = open_mac(commands)
    with caplog.at_level(logging.WARNING):
        samples = [readers.read() for _ in range(5)]

    unknown = {"gpu_utilization_percent", "gpu_memory_bytes", "thermal_state", "package_power_w", "energy_j"}
    assert all(unknown.isdisjoint(sample.figures) for sample in samples)
    assert samples[0].virtual_machine is True
    assert commands.asked.count("gpu") == 3
    assert len([record for record in caplog.records if "ioreg GPU failed" in record.message]) == 1
    assert "virtual machine" in readers.troubles["IOReport"]


def test_rosetta_is_told_and_its_invented_processor_is_not() -> None:
    facts = b"machdep.cpu.brand_string: VirtualApple @ 2.50GHz processor\nsysctl.proc_translated: 1\n"
    sample = read(mac(facts=facts, profile=inputs.system_profiler({"chip_type": None}), ane=b""))

    assert sample.rosetta is True
    assert sample.sources.get("chip_type") not in ("sysctl", "system_profiler")
    assert any("Rosetta" in remark for remark in sample.quality)


def test_a_mac_on_which_nothing_answers_says_so_and_raises_nothing() -> None:
    readers = open_mac(Commands())
    sample = readers.read()

    assert {"model", "gpu_cores", "ane_available", "thermal_state", "power_mode"}.isdisjoint(sample.figures)
    commands = {"sysctl facts", "system_profiler", "ioreg ANE", "ioreg GPU", "sysctl", "pmset", "pmset batt"}
    assert commands | {"vm_stat", "NSProcessInfo or notifyutil"} <= readers.troubles.keys()
    assert all("FileNotFoundError" in readers.troubles[name] for name in commands)


def test_a_command_that_hangs_is_a_failure_like_any_other() -> None:
    readers = open_mac(mac(mode=subprocess.TimeoutExpired("pmset", 2)))

    assert readers.read().power_mode is None
    assert "TimeoutExpired" in readers.troubles["pmset"]


def test_the_thermal_state_alone() -> None:
    assert thermal_state(system="Darwin", run=mac())() is ThermalState.SERIOUS
    assert thermal_state(system="Darwin", run=mac(notify=b"another.key 0\n"))() is None
    assert thermal_state(system="Linux")() is None
    with pytest.raises(FileNotFoundError):
        thermal_state(system="Darwin", run=Commands())()


def test_a_linux_box_has_comparable_figures() -> None:
    readers = open_readers(system="Linux")
    readers.read()
    sample = readers.read()

    assert {"memory_gb", "memory_used_bytes", "swap_used_bytes", "cpu_levels"} <= sample.figures.keys()
    assert (sample.mps_available, sample.ane_available) == (False, False)
    assert sample.thermal_state is None


# -- what is opened -----------------------------------------------------------------------------


class Monitor:
    """Opens an imitated chip's counters, and remembers it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.opened, self._failure = 0, failure

    def __call__(self) -> Chip:
        self.opened += 1
        if self._failure is not None:
            raise self._failure
        return Chip()


def test_the_energy_counters_of_a_machine_that_is_none_but_itself_are_read() -> None:
    monitor = Monitor()
    readers = open_readers(system="Darwin", run=mac(), open_monitor=monitor)
    sample = readers.read()

    assert monitor.opened == 1
    assert "IOReport" not in readers.troubles
    assert "energy_j: told from 5 s on" in sample.quality


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (HOSTED_VM, "a virtual machine has no counters"),
        (FACTS.replace(b"kern.hv_vmm_present: 0\n", b""), "not known whether this is a virtual"),
        (OSError("no sysctl"), "not known whether this is a virtual"),
    ],
    ids=["virtual", "unknown", "no facts"],
)
def test_the_energy_counters_are_not_touched_where_they_may_be_missing(
    facts: bytes | Exception, reason: str
) -> None:
    monitor = Monitor()
    readers = open_readers(system="Darwin", run=mac(facts=facts), open_monitor=monitor)

    assert monitor.opened == 0
    assert reason in readers.troubles["IOReport"]


def test_a_monitor_that_cannot_be_opened_is_a_trouble() -> None:
    monitor = Monitor(RuntimeError("no such channel"))
    readers = open_readers(system="Darwin", run=mac(), open_monitor=monitor)

    assert readers.troubles["IOReport"] == "RuntimeError: no such channel"


def test_readers_differ_in_name_and_tell_what_they_say_they_do() -> None:
    commands = mac(powermetrics=inputs.powermetrics())
    opened, unopened = readers_of_a_mac(commands, powermetrics=True, open_monitor=Monitor())
    names = [reader.name for reader in opened]

    assert unopened == []
    assert len(set(names)) == len(names)
    for reader in opened:
        sample = reader.read()
        assert sample is not None
        assert set(sample.figures) <= set(reader.tells), reader.name
        assert {tell.partition(".")[0] for tell in reader.tells} <= set(FIGURES), reader.name


# -- what does not change -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "name", "figure"),
    [
        ("facts", "sysctl facts", "model"),
        ("profile", "system_profiler", "gpu_cores"),
        ("ane", "ioreg ANE", "ane_cores"),
    ],
)
def test_a_fact_that_could_not_be_read_is_a_trouble_and_is_asked_again(
    command: str, name: str, figure: str
) -> None:
    commands = mac()
    answer = commands.outputs[command]
    others = {"facts": "profile"}.get(command)
    commands.outputs |= {each: OSError("busy") for each in (command, others) if each}
    readers = open_mac(commands)
    first = readers.read()
    first_trouble = readers.troubles[name]
    commands.outputs[command] = answer
    second = readers.read()

    assert getattr(first, figure) is None
    assert first_trouble == "OSError: busy"
    assert getattr(second, figure) is not None
    assert name not in readers.troubles


def test_a_fact_that_is_never_read_is_given_up_for_the_run_alone(caplog: pytest.LogCaptureFixture) -> None:
    commands = mac(profile=OSError("busy"))
    readers = open_mac(commands)
    for _ in range(5):
        readers.read()

    assert commands.asked.count("profile") == 3
    assert "system_profiler failed 3 times" in caplog.text
    open_mac(commands).read()
    assert commands.asked.count("profile") == 4


def test_a_hung_mac_is_read_within_half_a_minute() -> None:
    limits: list[float] = []

    def hang(command: tuple[str, ...], timeout_s: float) -> bytes:
        limits.append(timeout_s)
        raise subprocess.TimeoutExpired(command, timeout_s)

    readers = open_readers(system="Darwin", run=hang)
    readers.read()

    assert 0 < sum(limits) <= 30


def test_what_no_parser_reads_is_not_asked() -> None:
    commands: list[str] = []

    def note(command: tuple[str, ...], timeout_s: float) -> bytes:
        commands.extend(command)
        return b""

    open_readers(system="Darwin", run=note).read()

    assert "kern.osproductversion" in commands
    assert "hw.optional.arm64" not in commands


def test_free_memory_is_that_of_now() -> None:
    sample = read(mac())

    assert sample.sources["memory_free_bytes"] == "psutil"
    assert sample.sources["memory_wired_bytes"] == "vm_stat"


# -- the system's name --------------------------------------------------------------------------


def test_the_version_of_macos_is_the_one_that_the_system_tells() -> None:
    sample = read(mac())

    assert (sample.os_version, sample.sources["os_version"]) == ("26.2", "sysctl")
    assert operating_system(sample) == "macOS 26.2"


@pytest.mark.parametrize(
    ("told", "name"), [("15.7.1", "macOS 15.7.1"), ("26.2", "macOS 26.2"), ("16.2", "macOS"), ("", "macOS")]
)
def test_a_version_that_python_may_have_been_told_wrong_is_not_believed(
    told: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: (told, ("", "", ""), "arm64"))

    assert operating_system() == operating_system(HardwareSample()) == name


def test_another_system_is_named_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, str]:
        raise OSError("no os-release")

    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "release", lambda: "6.12")
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"PRETTY_NAME": "Debian 13"})
    assert operating_system(HardwareSample()) == "Debian 13"
    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert operating_system() == "Linux 6.12"
