"""What the machine did while a run was written: samples at an interval, and a summary."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from mlops.entities import Run
from mlops.errors import MLOpsError
from mlops.hardware import names
from mlops.hardware.base import HardwareSample, ThermalState
from mlops.hardware.energy import WINDOW_S
from mlops.hardware.machine import operating_system
from mlops.hardware.reader import Readers

_log = logging.getLogger(__name__)

_FIRST_S = 1.0
"""A run's end waits so long for its first sample, in seconds: a short one shall say where it ran, too."""
_QUICK_S = 0.3
"""Where a reading takes longer than this, a run's end does not wait for a last one."""
_COVERED = 0.9
"""An energy that was measured over less than this share of the run is remarked on."""


class Write(Protocol):
    """Where samples go: a run's record."""

    def __call__(self, metrics: Mapping[str, float], tags: Mapping[str, str], step: int) -> None:
        """Record both; raises `MLOpsError`, as after the run's end."""


class HardwareSampler:
    """Samples the machine for one run, from `start` to `stop`, in a thread of its own.

    The step of a sample is the whole seconds since the run began. A forked child does not sample: its
    parent's run is sampled by the parent.
    """

    def __init__(
        self,
        open_readers: Callable[[], Readers],
        write: Write,
        *,
        interval_s: float,
        started_s: float,
        earlier: Callable[[], Run] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`started_s` is when the run began, since the epoch; `earlier` reads what a resumed run has already,
        so that its energy goes on and its worst state is kept. An `interval_s` of 0 samples only when
        asked."""
        self._open_readers, self._write, self._interval_s = open_readers, write, interval_s
        self._started_s, self._clock = started_s, clock
        self._earlier, self._earlier_j = earlier, 0.0
        self._tags: dict[str, str] = {}
        self._readers: Readers | None = None
        self._reading = threading.Lock()
        self._stopping = threading.Event()
        self._first = threading.Event()
        self._process = os.getpid()
        self._began = clock()
        self._last = float("-inf")
        self._took_s = 0.0
        self._energy_j: float | None = None
        self._measured_s = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; nothing happens where sampling is off."""
        if self._interval_s > 0 and self._thread is None:
            self._thread = threading.Thread(target=self._go, name="mlops-hardware", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Take a last sample, so that the energy is the whole run's, and write no more."""
        if self._process != os.getpid() or self._thread is None:
            return
        self._first.wait(_FIRST_S)
        self._stopping.set()
        if not self._reading.acquire(blocking=False):  # a slow reading is not waited for; it will not write
            return
        try:
            due = self._clock() - self._last >= min(1.0, self._interval_s)
            if due and self._took_s < _QUICK_S:
                self._record(self._read())
            self._write({}, self._summary(), self._step())
        except MLOpsError as error:
            _log.debug("the end of the hardware's record is missing: %s", error)
        finally:
            self._reading.release()

    def sample(self) -> HardwareSample:
        """Take a sample now, and record it. Raises what recording raises."""
        if self._process != os.getpid():  # of the parent's locks and readers nothing can be said
            sample = self._open_readers().read()
            self._write(names.metrics(sample), {}, self._step())
            return sample
        with self._reading:
            sample = self._read()
            self._record(sample)
            return sample

    def record(self, sample: HardwareSample) -> None:
        """Record a sample that was taken elsewhere. Raises what recording raises."""
        with self._reading:
            self._record(sample)

    def _go(self) -> None:
        while not self._stopping.is_set():
            begun = self._clock()
            try:
                with self._reading:
                    sample = self._read()
                    if not self._stopping.is_set():
                        self._record(sample)
            except MLOpsError as error:
                _log.warning("hardware is not sampled any more: %s", error)
                return
            except Exception:  # noqa: BLE001 - a thread that dies unheard would leave a run without figures
                _log.exception("hardware is not sampled any more")
                return
            finally:
                self._first.set()
            self._stopping.wait(max(0.0, self._interval_s - (self._clock() - begun)))

    def _read(self) -> HardwareSample:
        begun = self._clock()
        if self._readers is None:
            self._readers = self._open_readers()
        sample = self._readers.read()
        self._last = self._clock()
        self._took_s = self._last - begun
        return sample

    def _recall(self) -> None:
        earlier, self._earlier = self._earlier, None
        if earlier is None:
            return
        try:
            run = earlier()
        except MLOpsError as error:
            _log.warning("the run's energy and thermal state are told from now on alone: %s", error)
            return
        self._earlier_j = run.metrics.get(names.ENERGY, 0.0)
        self._tags = {name: value for name, value in run.tags.items() if name.startswith("hardware.")}

    def _record(self, sample: HardwareSample) -> None:
        self._recall()
        metrics = names.metrics(sample)
        if names.ENERGY in metrics:
            metrics[names.ENERGY] += self._earlier_j
            self._energy_j = metrics[names.ENERGY]
            self._measured_s = sample.elapsed_s or 0.0
        now = self._tags_of(sample)
        changed = {key: value for key, value in now.items() if self._tags.get(key) != value}
        self._write(metrics, changed, self._step())
        self._tags |= changed

    def _step(self) -> int:
        return max(0, int(time.time() - self._started_s))

    def _tags_of(self, sample: HardwareSample) -> dict[str, str]:
        troubles = self._readers.troubles if self._readers is not None else {}
        worst = _worse(self._tags.get("hardware.worst_thermal_state"), sample.thermal_state)
        found = {
            "hardware.chip": sample.chip_type,
            "hardware.model": sample.model,
            "hardware.memory_gb": None if sample.memory_gb is None else f"{sample.memory_gb:g}",
            "hardware.gpu": sample.gpu_name,
            "hardware.mps_available": _yes_or_no(sample.mps_available),
            "hardware.ane_available": _yes_or_no(sample.ane_available),
            "hardware.rosetta": _yes_or_no(sample.rosetta),
            "hardware.os": operating_system(),
            "hardware.power_mode": self._seen("hardware.power_mode", sample.power_mode),
            "hardware.power_source": self._seen("hardware.power_source", sample.power_source),
            "hardware.thermal_source": sample.thermal_source,
            "hardware.worst_thermal_state": worst,
            "hardware.sources": ", ".join(sorted(set(sample.sources.values()))),
            "hardware.quality": "; ".join(sample.quality),
            "hardware.unread": "; ".join(f"{name}: {why}" for name, why in sorted(troubles.items())),
        }
        return {key: value for key, value in found.items() if value}

    def _seen(self, tag: str, value: str | None) -> str | None:
        """All values that the run has seen: one in low power for an hour is not a run in automatic mode."""
        seen = [each for each in self._tags.get(tag, "").split(", ") if each]
        return ", ".join(seen if value is None or value in seen else [*seen, value])

    def _summary(self) -> dict[str, str]:
        """What is known of the energy at the end."""
        if self._energy_j is None:
            return {}
        summary = {"hardware.energy_joules": f"{self._energy_j:.1f}"}
        lasted = self._clock() - self._began
        if self._measured_s + WINDOW_S < _COVERED * lasted:
            missing = f"energy_j: measured over {self._measured_s:.0f} of {lasted:.0f} s"
            earlier = self._tags.get("hardware.quality")
            summary["hardware.quality"] = f"{earlier}; {missing}" if earlier else missing
        return summary


def _yes_or_no(known: bool | None) -> str | None:
    return None if known is None else str(known).lower()


def _worse(before: str | None, now: ThermalState | None) -> str | None:
    """The worse of two states; what is unknown is no state."""
    known = [ThermalState(each) for each in (before, now) if each]
    return max(known, key=lambda state: state.level).value if known else None
