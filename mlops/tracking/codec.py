"""The journal's records as bytes: metrics packed, everything else JSON.

A record's first byte is its kind. `KEYS` names the metrics of the `POINTS` that follow it in the same
segment, so that a point costs its eight bytes and a share of the frame.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

KEYS, POINTS, JSON = 1, 2, 3
_KEYS = struct.Struct("<BI")
_POINTS = struct.Struct("<BqqI")


@dataclass(frozen=True, slots=True)
class Points:
    """One call's metrics at one step; `time_ms` is when it was called."""

    time_ms: int
    step: int
    keys: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """The metrics of a call, known to the segment by a number."""

    number: int
    definition: bytes
    """The `KEYS` record."""
    pack: Callable[..., bytes]
    """`pack(POINTS, time_ms, step, number, *values)`."""


def schema(number: int, keys: Sequence[str]) -> Schema:
    """The schema of these keys, in this order."""
    definition = _KEYS.pack(KEYS, number) + json.dumps(list(keys)).encode()
    return Schema(number, definition, struct.Struct(f"{_POINTS.format}{len(keys)}d").pack)


def encode(operation: dict[str, Any]) -> bytes:
    """Any other record; raises `ValueError` for what JSON cannot hold."""
    return bytes([JSON]) + json.dumps(operation, allow_nan=False).encode()


class Decoder:
    """Reads the records of one segment, in their order."""

    def __init__(self) -> None:
        self._keys: dict[int, tuple[str, ...]] = {}

    def decode(self, payload: bytes) -> Points | dict[str, Any] | None:
        """The record; None when it only prepares others. Raises `ValueError` for what it cannot be."""
        try:
            return self._decode(payload)
        except (struct.error, KeyError, IndexError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"no record of this journal: {error!r}") from error

    def _decode(self, payload: bytes) -> Points | dict[str, Any] | None:
        kind = payload[0]
        if kind == POINTS:
            _, time_ms, step, number = _POINTS.unpack_from(payload)
            keys = self._keys[number]
            values = struct.unpack_from(f"<{len(keys)}d", payload, _POINTS.size)
            return Points(time_ms, step, keys, values)
        if kind == KEYS:
            _, number = _KEYS.unpack_from(payload)
            self._keys[number] = tuple(json.loads(payload[_KEYS.size :]))
            return None
        if kind == JSON:
            operation = json.loads(payload[1:])
            if isinstance(operation, dict):
                return operation
        raise ValueError(f"a record of unknown kind {kind}")
