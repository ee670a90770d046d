"""Several readers as one: what they know together, and what to do about one that fails."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlops.hardware.base import HardwareReader, HardwareSample, merged

_log = logging.getLogger(__name__)

_PATIENCE = 3
_SLOW = "powermetrics"


@dataclass(frozen=True, slots=True)
class Unopened:
    """A reader that could not even be opened, and why; `name` and `tells` as a `HardwareReader`'s."""

    name: str
    tells: tuple[str, ...]
    reason: str


class Readers:
    """All readers of a machine; a figure is the first one's that has it.

    One that fails three times in a row is asked no more, and one warning says so: open new ones for the next
    run.
    """

    name = "machine"

    def __init__(
        self,
        readers: Iterable[HardwareReader],
        unopened: Iterable[Unopened] = (),
        system: str = platform.system(),
    ) -> None:
        """`system` is the machine's."""
        self.system = system
        self._readers = list(readers)
        self._all: tuple[HardwareReader | Unopened, ...] = (*self._readers, *unopened)
        self._failures: dict[str, int] = {}
        self.troubles: dict[str, str] = {
            each.name: each.reason for each in self._all if isinstance(each, Unopened)
        }
        """Reader -> why it gave nothing when it was last asked, or could not be opened."""

    @property
    def tells(self) -> dict[str, tuple[str, ...]]:
        """Reader -> the figures that it can give, also of one that is asked no more or was not opened."""
        return {each.name: each.tells for each in self._all}

    @property
    def slow(self) -> bool:
        """Whether a reading takes seconds: powermetrics measures over five."""
        return any(reader.name == _SLOW for reader in self._readers)

    def read(self) -> HardwareSample:
        """The figures now; raises nothing."""
        sample = HardwareSample()
        for reader in list(self._readers):
            found = self._ask(reader)
            if found is not None:
                sample = merged(sample, found)
        return sample

    def _ask(self, reader: HardwareReader) -> HardwareSample | None:
        try:
            found, trouble = reader.read(), "it gave nothing"
        except Exception as error:  # noqa: BLE001 - a source may raise anything; a run must not end of it
            found, trouble = None, f"{type(error).__name__}: {error}"
        if found is not None:
            self._failures.pop(reader.name, None)
            self.troubles.pop(reader.name, None)
            return found
        self.troubles[reader.name] = trouble
        self._failures[reader.name] = self._failures.get(reader.name, 0) + 1
        if self._failures[reader.name] >= _PATIENCE:
            self._readers.remove(reader)
            _log.warning(
                "hardware: %s failed %d times and is not asked again in this run (%s)",
                reader.name,
                _PATIENCE,
                trouble,
            )
        return None


class Fallback:
    """One reader, and another that is asked only while the first gives nothing."""

    def __init__(self, first: HardwareReader, second: HardwareReader) -> None:
        self.name = f"{first.name} or {second.name}"
        self.tells = tuple(dict.fromkeys((*first.tells, *second.tells)))
        self._first, self._second = first, second

    def read(self) -> HardwareSample | None:
        """The first one's figures, else the second's; raises what the second raises."""
        try:
            found = self._first.read()
        except Exception:  # noqa: BLE001 - whatever it is, the second is there for it
            found = None
        return found if found is not None else self._second.read()


class Seldom:
    """A reader of what changes seldom: asked once in `every_s` seconds, its last answer given meanwhile."""

    def __init__(
        self, reader: HardwareReader, every_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self.tells = reader.name, reader.tells
        self._reader, self._every_s, self._clock = reader, every_s, clock
        self._asked: float | None = None
        self._answer: HardwareSample | None = None

    def read(self) -> HardwareSample | None:
        """The figures, a minute old at most; what failed is asked again at once. Raises what it raises."""
        now = self._clock()
        if self._answer is None or self._asked is None or now - self._asked >= self._every_s:
            self._answer = None
            self._answer, self._asked = self._reader.read(), now
        return self._answer
