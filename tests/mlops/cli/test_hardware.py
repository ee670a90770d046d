"""mlops:hardware, and what mlops:doctor says of the hardware."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import partial

import pytest

from mlops.hardware import machine
from mlops.hardware.base import HardwareSample, ThermalState
from mlops.services.doctor import judge_hardware
from tests.mlops.hardware.apple import inputs
from tests.mlops.hardware.macs import FACTS, mac


@pytest.fixture
def on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands look at an M6 Pro that is not here."""
    readers = partial(machine.open_readers, system="Darwin", run=mac(powermetrics=inputs.powermetrics()))
    monkeypatch.setattr(machine, "open_readers", readers)


def test_this_machine_as_a_table(invoke) -> None:
    result = invoke("mlops:hardware")

    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].split() == ["FIGURE", "VALUE", "SOURCE"]
    shown = {line.split("  ")[0] for line in lines}
    assert {"system", "memory", "mps", "ane", "cpu active", "memory in use"} <= shown
    assert "Not read" in lines
    assert any("thermal_state" in line and "nothing on Linux tells it" in line for line in lines)


def test_this_machine_as_json(invoke) -> None:
    seen = invoke("mlops:hardware", "--json").json

    assert set(seen) == {"operating_system", "summary", "sample", "chip", "unread"}
    assert set(seen["summary"]) == {
        *("chip_type", "memory_gb", "mps_available", "ane_available", "thermal_state", "power_mode")
    }
    assert 0 <= seen["sample"]["cpu_utilization_percent"] <= 100
    assert seen["sample"]["thermal_state"] is None
    assert seen["unread"]["thermal_state"]


def test_a_mac_with_its_levels_and_its_chip(invoke, on_a_mac: None) -> None:
    out = invoke("mlops:hardware").out

    for row in ("Apple M6 Pro", "cpu Super", "cpu Efficiency", "gpu active", "42.0 %", "serious", "high"):
        assert row in out
    assert "IOReport: ModuleNotFoundError" in out, "why the powers are missing"
    assert "gpu_frequency_mhz, cpu_levels.active_ratio: powermetrics alone tells it, as root" in out


def test_powermetrics_on_demand(invoke, on_a_mac: None) -> None:
    sample = invoke("mlops:hardware", "--powermetrics", "--json").json["sample"]

    assert (sample["cpu_power_w"], sample["sources"]["cpu_power_w"]) == (2.0, "powermetrics")
    assert invoke("mlops:hardware", "--json").json["sample"]["cpu_power_w"] is None


def test_json_names_the_chips_figures_and_their_sources(invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = FACTS.replace(b"Apple M6 Pro", b"Apple M1")
    profile = inputs.system_profiler(None, inputs.display(sppci_cores="8"))
    run = mac(facts=facts, profile=profile)
    monkeypatch.setattr(machine, "open_readers", partial(machine.open_readers, system="Darwin", run=run))

    chip = invoke("mlops:hardware", "--json").json["chip"]

    assert (chip["name"], chip["fp32_tflops"], chip["ane_cores"]) == ("Apple M1", 2.6, 16)
    assert chip["sources"]["fp32_tflops"]


def test_a_chip_without_a_row_says_so(invoke, on_a_mac: None) -> None:
    lines = invoke("mlops:hardware").out.splitlines()

    for label in ("memory bandwidth", "gpu compute", "ane compute"):
        assert [line for line in lines if line.startswith(label) and "not in the chip table" in line]


def watch(*options: str) -> tuple[list[str], int]:
    """The first lines of `mlops:hardware --watch`, and how it ended when it was interrupted."""
    command = [sys.executable, "-m", "mlops.cli", "mlops:hardware", "--watch", "--interval", "0.2", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        lines = [watching.stdout.readline() for _ in range(3)]
        watching.send_signal(signal.SIGINT)
        watching.stdout.read()
        return lines, watching.wait(60)


def test_watching_prints_one_object_a_reading_until_it_is_interrupted(home) -> None:
    lines, code = watch("--json")
    loads = [json.loads(line)["sample"]["cpu_utilization_percent"] for line in lines]

    assert code == 130
    assert loads[0] is None, "there is no load without a time"
    assert loads[1] is not None


def test_watching_through_a_pipe_prints_one_table_after_the_other(home) -> None:
    lines, code = watch()

    assert code == 130
    assert lines[0].split() == ["FIGURE", "VALUE", "SOURCE"]


@pytest.mark.parametrize("interval", ["0", "-1", "x"])
def test_an_interval_that_is_none_is_refused(invoke, interval: str) -> None:
    result = invoke("mlops:hardware", "--watch", "--interval", interval)

    assert result.code == 2
    assert "--interval" in result.err


# -- doctor -------------------------------------------------------------------------------------

SOUND = HardwareSample(
    chip_type="Apple M4",
    rosetta=False,
    mps_available=True,
    power_mode="automatic",
    swap_used_bytes=0,
    thermal_state=ThermalState.NOMINAL,
)


def levels(sample: HardwareSample) -> dict[str, str]:
    return {found.subject: found.level.value for found in judge_hardware(sample)}


def test_a_sound_mac_is_found_sound() -> None:
    assert levels(SOUND) == dict.fromkeys(
        ("architecture", "mps", "power mode", "swap", "thermal state"), "ok"
    )


@pytest.mark.parametrize(
    ("subject", "changes", "word"),
    [
        ("architecture", {"rosetta": True, "chip_type": None}, "Rosetta"),
        ("mps", {"mps_available": False}, "torch cannot use"),
        ("mps", {"mps_available": False, "rosetta": True, "chip_type": None}, "torch cannot use"),
        ("power mode", {"power_mode": "low"}, "slower"),
        ("swap", {"swap_used_bytes": 3_163_815_936}, "3.2 GB"),
        ("thermal state", {"thermal_state": ThermalState.SERIOUS}, "throttled"),
        ("thermal state", {"thermal_state": ThermalState.CRITICAL}, "throttled"),
    ],
)
def test_what_slows_a_mac_is_found_and_explained(subject: str, changes: dict[str, object], word: str) -> None:
    sample = HardwareSample(**{**SOUND.figures, **changes})  # type: ignore[arg-type]
    found = next(each for each in judge_hardware(sample) if each.subject == subject)

    assert found.level.value == "warning"
    assert word in found.detail
    assert found.remedy


@pytest.mark.parametrize(
    ("sample", "remedy"),
    [
        (HardwareSample(chip_type="Apple M4", rosetta=False), "Install torch"),
        (HardwareSample(rosetta=True), "arm64 first"),
    ],
    ids=["native", "rosetta"],
)
def test_torch_that_is_missing_or_broken_on_a_mac_is_found(sample: HardwareSample, remedy: str) -> None:
    troubles = {"torch": "ImportError: no library libomp", "pmset": "it gave nothing"}
    [found] = [each for each in judge_hardware(sample, troubles) if each.subject == "mps"]

    assert found.level.value == "warning"
    assert "ImportError: no library libomp" in found.detail
    assert remedy in found.remedy


def test_torch_is_no_matter_where_there_is_no_apple_gpu_or_no_trouble() -> None:
    trouble = {"torch": "ModuleNotFoundError"}

    assert not list(judge_hardware(HardwareSample(chip_type="Intel", rosetta=None), trouble))
    assert "mps" not in levels(HardwareSample(chip_type="Apple M4"))


def test_doctor_tells_torchs_trouble(invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    readers = partial(machine.open_readers, system="Darwin", run=mac())
    monkeypatch.setattr("mlops.services.doctor.open_readers", readers)
    monkeypatch.setitem(sys.modules, "torch", None)  # its import fails

    found = {row["subject"]: row for row in invoke("mlops:doctor", "--json").json}

    assert found["mps"]["level"] == "warning"
    assert "ModuleNotFoundError" in found["mps"]["detail"]


def test_what_could_not_be_read_is_not_judged() -> None:
    assert levels(HardwareSample()) == {}
    assert "mps" not in levels(HardwareSample(chip_type="Intel", mps_available=False))


def test_doctor_looks_at_this_machine(invoke) -> None:
    found = {row["subject"]: row for row in invoke("mlops:doctor", "--json").json}

    assert "swap" in found
    assert "mps" not in found
