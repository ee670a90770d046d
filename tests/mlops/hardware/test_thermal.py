"""The gate closes at once, opens after a cool time, and never takes the unknown for cool."""

from __future__ import annotations

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.errors import InvalidInput
from mlops.hardware.base import ThermalState
from mlops.hardware.thermal import ScriptedThermal, ThermalAction, ThermalAdvice, ThermalGate

NOMINAL, FAIR, SERIOUS, CRITICAL = ThermalState
RUN, HOLD, CHECKPOINT, UNKNOWN = ThermalAction
BROKEN = OSError("no such sensor")


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Room:
    """A gate in a room whose heat is set by hand."""

    def __init__(self, *, poll_s: float = 5.0, cool_s: float = 30.0, forget_s: float = 600.0) -> None:
        self.clock = Clock()
        self.state: ThermalState | Exception | None = None
        self.readings = 0
        self.gate = ThermalGate(
            self.read,
            poll_s=poll_s,
            cool_s=cool_s,
            forget_s=forget_s,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def read(self) -> ThermalState | None:
        self.readings += 1
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    def after(self, seconds: float, state: ThermalState | Exception | None) -> ThermalAdvice:
        """The advice when the room has been so for that long, polled every five seconds."""
        self.state = state
        advice = self.gate.check()
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(self.clock.now + 5, end)
            advice = self.gate.check()
        return advice

    def actions(self, *stretches: tuple[float, ThermalState | Exception | None]) -> list[ThermalAction]:
        """The action at the end of each stretch; a stretch begins five seconds after the one before."""
        found = []
        for seconds, state in stretches:
            found.append(self.after(seconds, state).action)
            self.clock.now += 5
        return found


@pytest.mark.parametrize(
    ("state", "action"), [(NOMINAL, RUN), (FAIR, RUN), (SERIOUS, HOLD), (CRITICAL, CHECKPOINT)]
)
@pytest.mark.parametrize("before", [None, *ThermalState])
def test_a_hotter_state_counts_at_once(
    before: ThermalState | None, state: ThermalState, action: ThermalAction
) -> None:
    room = Room()
    if before is None or before.level <= state.level:
        assert room.actions((0, before), (0, state))[-1] is action


@pytest.mark.parametrize(
    ("stretches", "actions"),
    [
        ([(0, SERIOUS), (25, NOMINAL)], [HOLD, HOLD]),
        ([(0, SERIOUS), (30, NOMINAL)], [HOLD, RUN]),
        ([(0, SERIOUS), (30, FAIR)], [HOLD, RUN]),
        ([(0, SERIOUS), (15, FAIR), (10, NOMINAL)], [HOLD, HOLD, RUN]),
        ([(0, CRITICAL), (25, SERIOUS), (0, SERIOUS)], [CHECKPOINT, CHECKPOINT, HOLD]),
        ([(0, CRITICAL), (600, SERIOUS)], [CHECKPOINT, HOLD]),
        ([(0, CRITICAL), (30, NOMINAL)], [CHECKPOINT, RUN]),
        # Serious for 20 s and nominal for 10: cooler than critical for 30, than serious for 5.
        ([(0, CRITICAL), (20, SERIOUS), (5, NOMINAL), (25, NOMINAL)], [CHECKPOINT, CHECKPOINT, HOLD, RUN]),
        ([(0, SERIOUS), (25, NOMINAL), (0, SERIOUS), (25, NOMINAL)], [HOLD] * 4),
        ([(0, SERIOUS), (25, NOMINAL), (0, CRITICAL), (30, NOMINAL)], [HOLD, HOLD, CHECKPOINT, RUN]),
    ],
)
def test_a_cooler_state_counts_after_the_cool_time(
    stretches: list[tuple[float, ThermalState]], actions: list[ThermalAction]
) -> None:
    assert Room().actions(*stretches) == actions


@pytest.mark.parametrize("unknown", [None, BROKEN], ids=["None", "raises"])
def test_an_unknown_state_is_not_cool_and_cooling_begins_anew_after_it(unknown: Exception | None) -> None:
    room = Room()
    stretches = [
        (0.0, SERIOUS),
        (120.0, unknown),
        (25.0, NOMINAL),
        (0.0, unknown),
        (25.0, NOMINAL),
        (0.0, NOMINAL),
    ]
    assert room.actions(*stretches) == [HOLD, HOLD, HOLD, HOLD, HOLD, RUN]


@pytest.mark.parametrize("unknown", [None, BROKEN], ids=["None", "raises"])
def test_where_nothing_was_ever_known_the_caller_decides(unknown: Exception | None) -> None:
    advice = Room().after(3600, unknown)
    assert (advice.action, advice.state) == (UNKNOWN, None)
    assert advice.may_run
    assert not advice.should_checkpoint


@pytest.mark.parametrize("unknown", [None, BROKEN], ids=["None", "raises"])
def test_a_dead_reader_does_not_hold_work_for_ever(unknown: Exception | None) -> None:
    room = Room()
    assert room.actions((0, CRITICAL), (595, unknown), (0, unknown)) == [CHECKPOINT, CHECKPOINT, UNKNOWN]
    assert room.after(0, NOMINAL).action is RUN


def test_what_becomes_unknown_is_not_nominal_any_more() -> None:
    room = Room()
    assert room.actions((0.0, NOMINAL), (5.0, None), (5.0, NOMINAL)) == [RUN, UNKNOWN, RUN]


def test_a_reading_in_between_is_remembered_again() -> None:
    room = Room()
    stretches = [(0.0, SERIOUS), (590.0, None), (0.0, SERIOUS), (590.0, None)]
    assert room.actions(*stretches) == [HOLD] * 4


def test_the_reader_is_asked_no_more_often_than_agreed() -> None:
    room = Room(poll_s=10)
    room.state = NOMINAL
    for _ in range(100):
        room.gate.check()
        room.clock.now += 1
    assert room.readings == 10


def test_an_advice_says_what_was_read_and_why() -> None:
    room = Room()
    assert room.after(0, SERIOUS) == ThermalAdvice(HOLD, SERIOUS, "thermal state: it is serious")
    room.clock.now += 5
    assert room.after(10, FAIR) == ThermalAdvice(
        HOLD, FAIR, "thermal state: it was serious, and cooler for 10 s of 30"
    )
    room.clock.now += 5
    assert room.after(20, None) == ThermalAdvice(
        HOLD, None, "thermal state: it was serious, and could not be read for 20 s"
    )


def test_a_reader_that_raises_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    room = Room()
    room.actions((60, BROKEN), (0, NOMINAL), (60, BROKEN))
    [record] = caplog.records
    assert "no such sensor" in record.getMessage()


def test_waiting_ends_when_it_is_cool_and_says_once_why(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    reader = ScriptedThermal([CRITICAL, SERIOUS, NOMINAL])
    gate = ThermalGate(reader, clock=clock, sleep=clock.sleep)

    with caplog.at_level(logging.INFO):
        advice = gate.wait()

    assert (advice.action, advice.state) == (RUN, NOMINAL)
    assert clock.slept == [5.0] * 8
    [record] = caplog.records
    assert "it is critical" in record.getMessage()


def test_each_wait_for_another_heat_is_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    hot_twice = [SERIOUS, *7 * [NOMINAL], SERIOUS, NOMINAL]
    gate = ThermalGate(ScriptedThermal(hot_twice), clock=clock, sleep=clock.sleep)
    for _ in range(2):
        gate.wait()
        clock.now += 5
    gate.wait()
    assert len(caplog.records) == 2


def test_waiting_ends_with_its_timeout() -> None:
    room = Room()
    room.state = SERIOUS
    advice = room.gate.wait(timeout_s=12)
    assert advice.action is HOLD
    assert not advice.may_run
    assert room.clock.slept == [5.0, 5.0, 2.0]
    assert room.gate.wait(timeout_s=0).action is HOLD
    assert len(room.clock.slept) == 3


@pytest.mark.parametrize("state", [None, BROKEN, NOMINAL, FAIR], ids=str)
def test_waiting_does_not_block_without_heat(state: ThermalState | Exception | None) -> None:
    room = Room()
    room.state = state
    assert room.gate.wait().may_run
    assert room.clock.slept == []


def test_waiting_ends_with_a_reader_that_died_in_the_heat(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    gate = ThermalGate(ScriptedThermal([CRITICAL, None]), clock=clock, sleep=clock.sleep)
    assert gate.wait().action is UNKNOWN
    assert sum(clock.slept) == 605
    assert "it was critical, and cannot be read any more" in caplog.text


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 60), st.sampled_from([*ThermalState, None])), min_size=1, max_size=40))
def test_the_action_never_drops_without_cooler_readings_for_the_cool_time(
    steps: list[tuple[float, ThermalState | None]],
) -> None:
    room = Room(cool_s=30, forget_s=100)
    severity = [UNKNOWN, RUN, HOLD, CHECKPOINT]
    at_least = {NOMINAL: RUN, FAIR: RUN, SERIOUS: HOLD, CRITICAL: CHECKPOINT}
    history: list[tuple[float, ThermalState | None]] = []
    before = UNKNOWN
    for pause, state in steps:
        room.clock.now += pause
        room.state = state
        readings = room.readings
        action = room.gate.check().action
        if room.readings > readings:
            history.append((room.clock.now, state))
            assert state is None or severity.index(action) >= severity.index(at_least[state])
        if (before, action) == (RUN, UNKNOWN):
            assert history[-1][1] is None
        elif severity.index(action) < severity.index(before):
            states: dict[ThermalAction, set[ThermalState | None]] = {
                UNKNOWN: {None},
                RUN: {NOMINAL, FAIR},
                HOLD: {NOMINAL, FAIR, SERIOUS},
            }
            assert _lasted(history, states[action]) >= (100 if action is UNKNOWN else 30)
        before = action


def _lasted(history: list[tuple[float, ThermalState | None]], states: set[ThermalState | None]) -> float:
    """Seconds over which the latest readings were of these states, without interruption."""
    begun = end = history[-1][0]
    for at, state in reversed(history):
        if state not in states:
            break
        begun = at
    return end - begun


def test_many_threads_ask_and_the_reader_is_asked_once_a_time() -> None:
    clock = Clock()
    reader = ScriptedThermal([SERIOUS, *7 * [NOMINAL]])
    gate = ThermalGate(reader, clock=clock, sleep=clock.sleep)
    together = Barrier(8)

    def ask() -> ThermalAction:
        together.wait()
        return gate.check().action

    with ThreadPoolExecutor(8) as pool:
        for turn in range(8):
            actions = {each.result() for each in [pool.submit(ask) for _ in range(8)]}
            assert actions == {RUN if turn == 7 else HOLD}
            assert reader.readings == turn + 1
            clock.now += 5


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["poll_s", "cool_s", "forget_s"])
def test_a_setting_that_is_no_time_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=name):
        ThermalGate(lambda: None, **{name: value})  # type: ignore[arg-type]


def test_a_gate_that_would_never_rest_is_refused() -> None:
    with pytest.raises(InvalidInput, match="poll_s"):
        ThermalGate(lambda: None, poll_s=0)


@pytest.mark.parametrize("timeout_s", [-0.1, math.nan])
def test_a_timeout_that_is_no_time_is_refused(timeout_s: float) -> None:
    with pytest.raises(InvalidInput, match="timeout_s"):
        Room().gate.wait(timeout_s)


def test_without_a_cool_time_a_cooler_state_counts_at_once() -> None:
    room = Room(cool_s=0, forget_s=0)
    assert room.actions((0, CRITICAL), (0, SERIOUS), (0, NOMINAL), (0, None)) == [
        CHECKPOINT,
        HOLD,
        RUN,
        UNKNOWN,
    ]


def test_a_script_repeats_its_last_state_and_raises_its_errors() -> None:
    reader = ScriptedThermal([NOMINAL, BROKEN, None, FAIR])
    assert reader() is NOMINAL
    with pytest.raises(OSError, match="no such sensor"):
        reader()
    assert [reader() for _ in range(3)] == [None, FAIR, FAIR]


def test_an_empty_script_is_refused() -> None:
    with pytest.raises(InvalidInput, match="states"):
        ScriptedThermal([])
