"""Samples of the machine while a run is written, at an interval."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from mlops.entities import Run
from mlops.errors import MLOpsError
from mlops.hardware import machine, names
from mlops.hardware.base import HardwareSample
from mlops.hardware.reader import Readers
from mlops.hardware.tally import Tally

_log = logging.getLogger(__name__)

_FIRST_S = 1.0
"""A run's end waits so long for its first sample, in seconds: a short one shall say where it ran, too."""
_QUICK_S = 0.3
"""Where a reading takes longer than this, a run's end does not wait for a last one."""


class Write(Protocol):
    """Where samples go: a run's record."""

    def __call__(self, metrics: Mapping[str, float], tags: Mapping[str, str], step: int) -> None:
        """Record both; raises `MLOpsError`, as after the run's end."""


class HardwareSampler:
    """Samples the machine for one run, from `start` to `stop`, in a thread of its own.

    The step of a sample is the whole seconds since the run began. A forked child does not sample: its
    parent's run is sampled by the parent. Whatever goes wrong here is told to the log, and the run goes on.
    """

    def __init__(
        self,
        open_readers: Callable[[], Readers],
        write: Write,
        *,
        interval_s: float,
        started_s: float,
        past: Callable[[], Run] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`started_s` is when the run began, since the epoch; `past` reads what a run that is resumed has
        already, so that its energy goes on and its worst state is kept. An `interval_s` of 0 samples only
        when asked."""
        self._open_readers, self._write, self._interval_s = open_readers, write, interval_s
        self._started_s, self._clock = started_s, clock
        self._tally = Tally(past, clock)
        self._readers: Readers | None = None
        self._reading = threading.Lock()
        """Held for as long as a reading takes."""
        self._writing = threading.Lock()
        """Held for moments; the thread writes nothing once `_stopping` was set outside of it."""
        self._stopping = threading.Event()
        self._first = threading.Event()
        self._process = os.getpid()
        self._began = clock()
        self._last = float("-inf")
        self._took_s = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; nothing happens where sampling is off."""
        if self._interval_s <= 0 or self._thread is not None:
            return
        machine.prepare()
        thread = threading.Thread(target=self._go, name="mlops-hardware", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread is left, or the interpreter ends
            _log.warning("the hardware is not sampled: %s", error)
        else:
            self._thread = thread

    def stop(self) -> None:
        """Take a last sample, so that the energy is the whole run's, and write no more; raises nothing."""
        if self._process != os.getpid() or self._thread is None:
            return
        self._first.wait(_FIRST_S)
        self._stopping.set()
        try:
            sample = self._last_sample()
            with self._writing:
                if sample is not None:
                    self._record(sample)
                if tags := self._tally.summary(self._clock() - self._began):
                    self._write({}, tags, self._step())
        except Exception as error:  # noqa: BLE001 - the end of a run must not fail of this
            _log.warning("the end of the hardware's record is missing: %r", error)

    def sample(self) -> HardwareSample:
        """Take a sample now, and record it. Raises what recording raises."""
        if self._process != os.getpid():
            return self._sample_in_child()
        with self._reading:
            sample = self._read()
        with self._writing:
            self._record(sample)
        return sample

    def record(self, sample: HardwareSample) -> None:
        """Record figures that were measured elsewhere. Raises what recording raises."""
        if self._process != os.getpid():
            self._write(names.metrics(sample), {}, self._step())
            return
        with self._writing:
            self._write(*self._tally.add_given(sample), self._step())

    def _sample_in_child(self) -> HardwareSample:
        """Of the parent's locks and readers nothing can be said, and the energy is counted there."""
        sample = self._open_readers().read()
        metrics = names.metrics(sample)
        metrics.pop(names.ENERGY, None)
        self._write(metrics, {}, self._step())
        return sample

    def _go(self) -> None:
        taken = 0
        while not self._stopping.is_set():
            begun = self._clock()
            try:
                with self._reading:
                    sample = self._read()
                with self._writing:
                    if not self._stopping.is_set():
                        self._record(sample)
            except MLOpsError as error:
                _log.warning("the hardware is not sampled any more: %s", error)
                return
            except Exception:  # noqa: BLE001 - a thread that dies unheard would leave a run without figures
                _log.exception("the hardware is not sampled any more")
                return
            finally:
                self._first.set()
            taken += 1
            # A whole pause after the first, since powers need their time from its end on.
            spent_s = 0.0 if taken == 1 else self._clock() - begun
            self._stopping.wait(max(0.0, self._interval_s - spent_s))

    def _read(self) -> HardwareSample:
        if self._readers is None:
            self._readers = self._open_readers()
            sample = self._readers.read()  # with what does not change, which takes longer
        else:
            begun = self._clock()
            sample = self._readers.read()
            self._took_s = self._clock() - begun
        self._last = self._clock()
        self._tally.recall()
        return sample

    def _last_sample(self) -> HardwareSample | None:
        """None where the last one is new enough, or a reading takes longer than a run's end may."""
        if not self._reading.acquire(blocking=False):
            return None
        try:
            quick = self._readers is not None and not self._readers.slow and self._took_s < _QUICK_S
            due = self._clock() - self._last >= min(1.0, self._interval_s)
            return self._read() if quick and due else None
        finally:
            self._reading.release()

    def _record(self, sample: HardwareSample) -> None:
        troubles = self._readers.troubles if self._readers is not None else {}
        self._write(*self._tally.add(sample, troubles), self._step())

    def _step(self) -> int:
        return max(0, int(time.time() - self._started_s))
