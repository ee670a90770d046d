"""psutil's figures on this machine, and the load over a window of our own."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mlops.hardware.base import HardwareSample
from mlops.hardware.host import Host, cpu_seconds, load_percent, parse_cpuinfo

XEON = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R): 2 GHz\n"
RASPBERRY = "processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd0b\n\nModel\t\t: Raspberry Pi 5\n"


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(XEON)
    return path


def read(host: Host) -> HardwareSample:
    found = host.read()
    assert found is not None
    return found


def work(seconds: float) -> None:
    """Use this much of a core's time."""
    begun = cpu_seconds()[1]
    while cpu_seconds()[1] - begun < seconds * (psutil.cpu_count() or 1):
        sum(range(1000))


def test_memory_adds_up_to_what_is_there(cpuinfo: Path) -> None:
    sample = read(Host(levels=True, cpuinfo=cpuinfo))

    assert sample.memory_used_bytes is not None
    assert sample.memory_available_bytes is not None
    assert sample.memory_free_bytes is not None
    total = psutil.virtual_memory().total
    assert sample.memory_used_bytes + sample.memory_available_bytes == total
    assert 0 < sample.memory_free_bytes < total
    assert sample.memory_gb == round(total / 2**30, 1)
    assert sample.swap_used_bytes is not None
    assert sample.sources["memory_used_bytes"] == "psutil"


def test_the_first_reading_has_no_load_and_a_later_one_has(cpuinfo: Path) -> None:
    host = Host(levels=True, cpuinfo=cpuinfo)
    assert read(host).cpu_utilization_percent is None

    work(0.15)
    sample = read(host)

    assert sample.cpu_utilization_percent is not None
    assert 0 < sample.cpu_utilization_percent <= 100
    assert sample.cpu_levels is not None
    [level] = sample.cpu_levels
    assert (level.name, level.cores) == ("cpu", psutil.cpu_count(logical=False) or psutil.cpu_count())
    assert level.active_ratio == pytest.approx(sample.cpu_utilization_percent / 100)


def test_two_hosts_do_not_take_each_others_windows(cpuinfo: Path) -> None:
    first, second = Host(levels=False, cpuinfo=cpuinfo), Host(levels=False, cpuinfo=cpuinfo)
    read(first)
    read(second)
    work(0.15)
    assert read(first).cpu_utilization_percent is not None
    assert read(second).cpu_utilization_percent is not None


def test_a_window_too_short_has_no_load_and_is_not_lost(
    cpuinfo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(levels=True, cpuinfo=cpuinfo)
    threads = psutil.cpu_count() or 1
    walls = iter([0.0, 0.04, 0.08, 0.09, 0.03])  # seconds; half of each busy; then the counters went back
    monkeypatch.setattr(
        "mlops.hardware.host.cpu_seconds", lambda: (threads * (wall := next(walls)) / 2, threads * wall)
    )

    loads = [read(host).cpu_utilization_percent for _ in range(5)]

    assert loads == [None, None, pytest.approx(50), None, None]


def test_without_levels_there_are_none(cpuinfo: Path) -> None:
    sample = read(Host(levels=False, cpuinfo=cpuinfo))
    assert (sample.cpu_levels, sample.chip_type) == (None, None)


def test_what_it_can_tell_is_what_it_tells(cpuinfo: Path) -> None:
    for levels in (True, False):
        host = Host(levels=levels, cpuinfo=cpuinfo)
        told = set(read(host).figures) | {"cpu_utilization_percent"}
        assert told == {name for name in host.tells if "." not in name}


def test_the_chip_is_named_where_the_system_names_it(cpuinfo: Path, tmp_path: Path) -> None:
    assert read(Host(levels=True, cpuinfo=cpuinfo)).chip_type == "Intel(R) Xeon(R): 2 GHz"
    nameless = read(Host(levels=True, cpuinfo=tmp_path / "missing"))
    assert nameless.chip_type is None
    assert "chip_type" not in nameless.sources


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (XEON, "Intel(R) Xeon(R): 2 GHz"),
        (RASPBERRY, None),
        ("", None),
        ("model name\t:\n", None),
        ("model name", None),
    ],
)
def test_the_processors_name(data: str, name: str | None) -> None:
    assert parse_cpuinfo(data) == name


@pytest.mark.parametrize(
    ("before", "after", "load"),
    [
        ((10.0, 100.0), (11.0, 104.0), 25.0),
        ((10.0, 100.0), (10.0, 104.0), 0.0),
        ((10.0, 100.0), (14.0, 104.0), 100.0),
        ((10.0, 100.0), (10.0, 100.0), None),
        ((10.0, 100.0), (9.0, 104.0), None),
        ((10.0, 100.0), (14.3, 104.0), 100.0),
        ((10.0, 100.0), (16.0, 104.0), None),
        ((10.0, 100.0), (9.0, 99.0), None),
    ],
)
def test_the_load_between_two_counts(
    before: tuple[float, float], after: tuple[float, float], load: float | None
) -> None:
    assert load_percent(before, after) == load


def test_iowait_is_idle_and_a_guest_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    linux = namedtuple("linux", "user nice system idle iowait guest guest_nice")
    monkeypatch.setattr(psutil, "cpu_times", lambda: linux(10.0, 2.0, 3.0, 70.0, 15.0, 4.0, 1.0))
    assert cpu_seconds() == (15.0, 100.0)

    mac = namedtuple("mac", "user nice system idle")
    monkeypatch.setattr(psutil, "cpu_times", lambda: mac(10.0, 0.0, 5.0, 85.0))
    assert cpu_seconds() == (15.0, 100.0)
