"""Whether a machine is cool enough to work: a gate that closes at once and opens slowly."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlops.errors import InvalidInput
from mlops.hardware.base import ThermalState

_log = logging.getLogger(__name__)


class ThermalAction(StrEnum):
    """What to do about the heat."""

    RUN = "run"
    HOLD = "hold"
    """Start no new work, and shrink what can shrink."""
    CHECKPOINT = "checkpoint"
    """Save what runs, then wait."""
    UNKNOWN = "unknown"
    """Nobody can tell, as on Linux: the caller decides."""


_ACTIONS = {
    ThermalState.NOMINAL: ThermalAction.RUN,
    ThermalState.FAIR: ThermalAction.RUN,
    ThermalState.SERIOUS: ThermalAction.HOLD,
    ThermalState.CRITICAL: ThermalAction.CHECKPOINT,
}


@dataclass(frozen=True, slots=True)
class ThermalAdvice:
    """What to do, by which state, and why."""

    action: ThermalAction
    state: ThermalState | None
    """As it was last read; None when that reading gave nothing."""
    reason: str

    @property
    def may_run(self) -> bool:
        """Whether nothing speaks against working: also where nobody can tell."""
        return self.action in (ThermalAction.RUN, ThermalAction.UNKNOWN)

    @property
    def should_checkpoint(self) -> bool:
        """Whether running work is better saved now."""
        return self.action is ThermalAction.CHECKPOINT


class ThermalGate:
    """Advice from a thermal state, with hysteresis; any number of threads may ask it.

    A hotter state counts at once. A cooler one counts when all readings of `cool_s` seconds were cooler. A
    reading that gives nothing is not cool: the cooling begins anew after it. When there was nothing else for
    `forget_s` seconds, what was known is forgotten, so that a dead reader does not hold work for ever.
    """

    def __init__(
        self,
        read: Callable[[], ThermalState | None],
        *,
        poll_s: float = 5.0,
        cool_s: float = 30.0,
        forget_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`read` is asked every `poll_s` seconds at most, and may raise. Raises `InvalidInput` for a time
        that is negative or no number, and for a `poll_s` of 0."""
        for name, value in (("poll_s", poll_s), ("cool_s", cool_s), ("forget_s", forget_s)):
            _check_seconds(name, value)
        if poll_s == 0:
            raise InvalidInput("poll_s", poll_s, "would never rest", remedy="Give some seconds.")
        self._read, self._clock, self._sleep = read, clock, sleep
        self._poll_s, self._cool_s, self._forget_s = poll_s, cool_s, forget_s
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._state: ThermalState | None = None
        self._cooler_since: dict[ThermalState, float | None] = {}
        """Each state that still counts -> since when every reading was cooler, None while it is not."""
        self._unknown_since: float | None = None
        self._failed = self._told = False

    def check(self) -> ThermalAdvice:
        """What to do now; raises nothing. It takes as long as a reading when one is due."""
        with self._lock:
            return self._checked()

    def wait(self, timeout_s: float | None = None) -> ThermalAdvice:
        """Return when work may run, or after `timeout_s` seconds; the advice says which.

        One log message says why it waits. Raises `InvalidInput` for a negative timeout.
        """
        if timeout_s is not None:
            _check_seconds("timeout_s", timeout_s)
        begun = self._clock()
        while True:
            advice = self.check()
            left = math.inf if timeout_s is None else timeout_s - (self._clock() - begun)
            if advice.may_run or left <= 0:
                return advice
            self._tell(advice)
            self._sleep(min(self._poll_s, left))

    def _checked(self) -> ThermalAdvice:
        now = self._clock()
        if self._read_at is None or now - self._read_at >= self._poll_s:
            self._read_at, self._state = now, self._ask()
            if self._state is None:
                self._take_unknown(now)
            else:
                self._take(self._state, now)
        advice = self._advice(now)
        self._told = self._told and not advice.may_run
        return advice

    def _ask(self) -> ThermalState | None:
        try:
            return self._read()
        except Exception as error:  # noqa: BLE001 - a reader may raise anything, and training must not end of it
            if not self._failed:
                _log.warning("the thermal state cannot be read: %s: %s", type(error).__name__, error)
            self._failed = True
            return None

    def _take(self, state: ThermalState, now: float) -> None:
        self._unknown_since = None
        for each in ThermalState:
            if each.level <= state.level:
                self._cooler_since[each] = None
            elif each in self._cooler_since:
                since = self._cooler_since[each]
                since = now if since is None else since
                self._cooler_since[each] = since
                if now - since >= self._cool_s:
                    del self._cooler_since[each]

    def _take_unknown(self, now: float) -> None:
        self._unknown_since = now if self._unknown_since is None else self._unknown_since
        if now - self._unknown_since >= self._forget_s:
            hot = [state for state in self._cooler_since if _ACTIONS[state] is not ThermalAction.RUN]
            if hot:
                _log.warning(
                    "it was %s, and cannot be read any more: nobody can tell whether the machine is cool",
                    max(hot, key=lambda state: state.level),
                )
            self._cooler_since.clear()
        else:
            self._cooler_since = dict.fromkeys(self._cooler_since)

    def _advice(self, now: float) -> ThermalAdvice:
        counting = max(self._cooler_since, key=lambda state: state.level, default=None)
        if counting is None:
            return ThermalAdvice(ThermalAction.UNKNOWN, None, "no thermal state can be read")
        if self._unknown_since is not None:
            reason = f"it was {counting}, and could not be read for {now - self._unknown_since:.0f} s"
            if _ACTIONS[counting] is ThermalAction.RUN:  # what is unknown is not nominal
                return ThermalAdvice(ThermalAction.UNKNOWN, None, f"thermal state: {reason}")
        elif self._state is counting:
            reason = f"it is {counting}"
        else:
            since = self._cooler_since[counting]
            cooler = 0.0 if since is None else now - since
            reason = f"it was {counting}, and cooler for {cooler:.0f} s of {self._cool_s:.0f}"
        return ThermalAdvice(_ACTIONS[counting], self._state, f"thermal state: {reason}")

    def _tell(self, advice: ThermalAdvice) -> None:
        with self._lock:
            known, self._told = self._told, True
        if not known:
            _log.warning("waiting until this machine has cooled (%s)", advice.reason)


class ScriptedThermal:
    """A reader for tests: gives each state once, then the last for ever; an exception is raised."""

    def __init__(self, states: Sequence[ThermalState | Exception | None]) -> None:
        """Raises `InvalidInput` for no state at all."""
        if not states:
            raise InvalidInput("states", states, "is empty", remedy="Give one state, or None.")
        self._states = tuple(states)
        self._lock = threading.Lock()
        self.readings = 0
        """How often it was read."""

    def __call__(self) -> ThermalState | None:
        """The next state."""
        with self._lock:
            state = self._states[min(self.readings, len(self._states) - 1)]
            self.readings += 1
        if isinstance(state, Exception):
            raise state
        return state


def _check_seconds(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise InvalidInput(name, value, "is no number of seconds", remedy="Give 0 or more.")
