from __future__ import annotations

import sys

import pytest

from mlops.hardware.base import ThermalState
from mlops.hardware.foundation import ProcessInfo, state_of


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
