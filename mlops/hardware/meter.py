"""This machine's figures for who asks for as long as a process lives."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops.hardware.base import HardwareSample
from mlops.hardware.machine import open_readers, operating_system
from mlops.hardware.reader import Readers


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that holds a folder, in bytes."""

    size: int
    free: int
    """What programs without privileges may still write."""


@dataclass(frozen=True, slots=True)
class MachineReading:
    """A machine at a moment."""

    sample: HardwareSample
    operating_system: str
    disk: Disk | None
    """None where it cannot be read."""


class Meter:
    """Reads the machine with readers that it opens at the first question, and keeps: loads are told over the
    time since the question before, energy since the first. Threads may ask it."""

    def __init__(self, home: Path, open_readers: Callable[[], Readers] = open_readers) -> None:
        """`home` is a folder on the disk that is looked at."""
        self._home = home
        self._open_readers = open_readers
        self._readers: Readers | None = None
        self._reading = threading.Lock()

    def read(self) -> MachineReading:
        """The figures now; raises nothing. It takes as long as the slowest source: milliseconds on Linux,
        up to a second on a Mac."""
        with self._reading:
            if self._readers is None:
                self._readers = self._open_readers()
            sample = self._readers.read()
        return MachineReading(sample, operating_system(sample), self.disk())

    def disk(self) -> Disk | None:
        """The disk alone, at once; None where it cannot be read."""
        return _disk(self._home)


def _disk(folder: Path) -> Disk | None:
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return None
    return Disk(found.total, found.free)
