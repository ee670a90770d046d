"""How many calls of a process have returned: kept in a shared map, which outlives a kill -9."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_LAYOUT = struct.Struct("<q64s")


class Acknowledged:
    """A run's key, and its calls that returned."""

    def __init__(self, path: Path) -> None:
        """Look at the file another process made."""
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _LAYOUT.size)

    @classmethod
    def create(cls, path: Path, key: str) -> Acknowledged:
        """Make the file; it is there whole, or not at all."""
        part = path.with_suffix(".part")
        part.write_bytes(_LAYOUT.pack(0, key.encode()))
        part.rename(path)
        return cls(path)

    @property
    def key(self) -> str:
        """The run's key."""
        return str(_LAYOUT.unpack(self._map[:])[1].rstrip(b"\0").decode())

    @property
    def calls(self) -> int:
        """Calls that have returned."""
        return int(_LAYOUT.unpack(self._map[:])[0])

    @calls.setter
    def calls(self, calls: int) -> None:
        struct.pack_into("<q", self._map, 0, calls)
