"""JSON as the replicas read and write it: after RFC 8259, without NaN and infinities.

By orjson: reading and writing 100 kB of numbers takes it 1 ms, the standard library 10. What orjson refuses
the standard library reads again: it knows numbers of any length, and says what is wrong in a caller's words.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def read(text: bytes) -> Any:
    """What the text says; raises `ValueError` where it is no JSON."""
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write(content: Any) -> bytes:
    """UTF-8; a number that is not finite becomes null. Raises `TypeError` for what JSON cannot hold."""
    return orjson.dumps(content, option=_OPTIONS)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
