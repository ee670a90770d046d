"""What the samples of one run add up to: its metrics, its tags, its energy and its worst state."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterable, Mapping

from mlops.entities import Run
from mlops.errors import MLOpsError
from mlops.hardware import names
from mlops.hardware.base import HardwareSample, ThermalState
from mlops.hardware.energy import WINDOW_S
from mlops.hardware.machine import operating_system

_log = logging.getLogger(__name__)

_COVERED = 0.9
"""An energy that was measured over less than this share of the run is remarked on."""
_RECALL_S = 30.0
_LASTING = "stalled"
_WORST = "hardware.worst_thermal_state"
_PAST_UNKNOWN = "what the run used before it was resumed could not be read"


class Tally:
    """The sum of a run's samples. Its sampler adds one at a time; `recall` may run beside that."""

    def __init__(
        self, past: Callable[[], Run] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`past` reads what a run that is resumed has already; as long as it raises, neither the energy nor
        the worst state is told, which would be those of the last stretch alone."""
        self._past, self._clock = past, clock
        self._asked = float("-inf")
        self._tags: dict[str, str] = {}
        self._quality: dict[str, str] = {}
        self._energy_before_j = 0.0
        self._energy_j: float | None = None
        self._measured_s = 0.0

    def recall(self) -> None:
        """Read the run's past, if that is due; it may take a second where no server answers."""
        if self._past is None or self._clock() - self._asked < _RECALL_S:
            return
        self._asked = self._clock()
        try:
            run = self._past()
        except MLOpsError as error:
            _log.debug("the run's past is not known yet: %s", error)
            return
        self._energy_before_j = run.metrics.get(names.ENERGY, 0.0)
        earlier = {name: text for name, text in run.tags.items() if name.startswith("hardware.")}
        worst = _worst((earlier.get(_WORST), self._tags.get(_WORST)))
        self._tags = {**earlier, **self._tags, **({_WORST: worst} if worst else {})}
        self._past = None  # last: a sample may be added meanwhile

    def add(
        self, sample: HardwareSample, troubles: Mapping[str, str]
    ) -> tuple[dict[str, float], dict[str, str]]:
        """The metrics to write, and the tags that changed; `troubles` are of readers that gave nothing."""
        metrics = names.metrics(sample)
        energy = metrics.pop(names.ENERGY, None)
        if energy is not None and self._past is None:
            metrics[names.ENERGY] = self._energy_j = energy + self._energy_before_j
            self._measured_s = sample.elapsed_s or 0.0
        self._remark(sample)
        tags = {
            **_facts(sample),
            "hardware.power_mode": self._seen("hardware.power_mode", sample.power_mode),
            "hardware.power_source": self._seen("hardware.power_source", sample.power_source),
            "hardware.thermal_source": sample.thermal_source,
            _WORST: None if self._past else _worst((self._tags.get(_WORST), sample.thermal_state)),
            "hardware.sources": self._seen("hardware.sources", *sorted(set(sample.sources.values()))),
            "hardware.quality": self._cleared("hardware.quality", self._quality.items()),
            "hardware.unread": self._cleared("hardware.unread", troubles.items()),
        }
        return metrics, self._changed(tags)

    def add_given(self, sample: HardwareSample) -> tuple[dict[str, float], dict[str, str]]:
        """As `add`, of figures that the program measured itself: they change nothing of what was read."""
        tags = {
            **_facts(sample),
            "hardware.sources": self._seen("hardware.sources", *set(sample.sources.values())),
        }
        return names.metrics(sample), self._changed(tags)

    def summary(self, lasted_s: float) -> dict[str, str]:
        """The tags of the run's end, after `lasted_s` seconds."""
        if self._past is not None:
            self._quality["energy_j"] = _PAST_UNKNOWN
        elif self._energy_j is not None and self._measured_s + WINDOW_S < _COVERED * lasted_s:
            self._quality["energy_j"] = f"measured over {self._measured_s:.0f} of {lasted_s:.0f} s"
        tags: dict[str, str | None] = {
            "hardware.energy_joules": None if self._energy_j is None else f"{self._energy_j:.1f}",
            "hardware.quality": self._cleared("hardware.quality", self._quality.items()),
        }
        return self._changed(tags)

    def _remark(self, sample: HardwareSample) -> None:
        """A remark holds as long as samples have it; that a counter stalled holds to the end."""
        now = dict(_parted(each) for each in sample.quality)
        for figure in sample.figures.keys() - now.keys():
            if _LASTING not in self._quality.get(figure, ""):
                self._quality.pop(figure, None)
        for figure, remark in now.items():
            if _LASTING not in self._quality.get(figure, ""):
                self._quality[figure] = remark

    def _seen(self, tag: str, *values: str | None) -> str:
        """All that the run has seen: one in low power for an hour is not a run in automatic mode."""
        seen = [each for each in self._tags.get(tag, "").split(", ") if each]
        return ", ".join(dict.fromkeys([*seen, *(value for value in values if value)]))

    def _cleared(self, tag: str, parts: Iterable[tuple[str, str]]) -> str | None:
        """The parts as one text; of a tag that has nothing to tell any more, that."""
        text = "; ".join(f"{name}: {what}" for name, what in sorted(parts))
        return text or ("nothing any more" if tag in self._tags else None)

    def _changed(self, tags: Mapping[str, str | None]) -> dict[str, str]:
        changed = {key: text for key, text in tags.items() if text and self._tags.get(key) != text}
        self._tags |= changed
        return changed


def _facts(sample: HardwareSample) -> dict[str, str | None]:
    return {
        "hardware.chip": sample.chip_type,
        "hardware.model": sample.model,
        "hardware.memory_gb": None if sample.memory_gb is None else f"{sample.memory_gb:g}",
        "hardware.gpu": sample.gpu_name,
        "hardware.os": operating_system(sample),
        "hardware.host": platform.node() or None,
        "hardware.mps_available": _yes_or_no(sample.mps_available),
        "hardware.ane_available": _yes_or_no(sample.ane_available),
        "hardware.rosetta": _yes_or_no(sample.rosetta),
    }


def _parted(remark: str) -> tuple[str, str]:
    figure, _, text = remark.partition(": ")
    return figure, text


def _yes_or_no(known: bool | None) -> str | None:
    return None if known is None else str(known).lower()


def _worst(states: Iterable[str | None]) -> str | None:
    """The worst of some states; what is unknown, or no state that Apple has, is none."""
    known = [ThermalState(each) for each in states if each in tuple(ThermalState)]
    return max(known, key=lambda state: state.level).value if known else None
