from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops.hardware.base import ThermalState
from mlops.hardware.foundation import ProcessInfo, state_of
from mlops.hardware.machine import prepare


def test_the_four_states() -> None:
    assert [state_of(level) for level in range(4)] == list(ThermalState)


@pytest.mark.parametrize("level", [-1, 4, 255])
def test_a_state_that_apple_has_not_published_is_unknown(level: int) -> None:
    assert state_of(level) is None


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has a Foundation")
def test_where_there_is_no_foundation_it_raises() -> None:
    with pytest.raises(OSError, match="Foundation"):
        ProcessInfo().read()


@pytest.mark.skipif(sys.platform != "darwin", reason="NSProcessInfo is macOS' own")
def test_this_mac_tells_its_state() -> None:
    sample = ProcessInfo().read()
    assert sample is not None
    assert sample.thermal_state in ThermalState


FORKING = """
import os
from mlops.hardware import machine
from mlops.hardware.foundation import ProcessInfo
from tests.mlops.hardware.macs import mac

def opened():
    raise SystemExit("the monitor was opened")

info = ProcessInfo()
if (child := os.fork()) == 0:
    readers = machine.open_readers(system="Darwin", run=mac(), open_monitor=opened)
    sample = readers.read()
    print("forked:", machine.is_forked())
    print("IOReport:", readers.troubles["IOReport"])
    print("NSProcessInfo:", readers.troubles["NSProcessInfo"])
    print("source:", sample.thermal_source, machine.thermal_state(system="Darwin", run=mac())())
    try:
        info.read()
    except OSError as error:
        print("read:", error)
else:
    os.waitpid(child, 0)
    print("parent:", machine.is_forked())
"""


def test_a_forked_process_asks_nothing_of_apples_frameworks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    reason = "Apple's frameworks cannot be relied on in a forked process"
    assert done.stdout.splitlines() == [
        "forked: True",
        f"IOReport: {reason}",
        f"NSProcessInfo: {reason}",
        "source: notifyutil serious",
        f"read: {reason}",
        "parent: False",
    ]


@pytest.mark.parametrize("failure", [None, OSError("no Foundation")], ids=["told", "fails"])
def test_a_mac_is_prepared_by_one_question_that_may_fail(
    failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def read(self: ProcessInfo) -> None:
        asked.append(True)
        if failure is not None:
            raise failure

    monkeypatch.setattr(ProcessInfo, "read", read)
    prepare("Linux")
    assert asked == []
    prepare("Darwin")
    assert asked == [True]
