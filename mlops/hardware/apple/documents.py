"""Property lists and JSON from outside, taken apart without trusting their shape."""

from __future__ import annotations

import json
import plistlib

from mlops.hardware.apple.lines import readable

Table = dict[str, object]


def plist(data: bytes) -> object:
    """The content of an XML property list; None where it is cut or none."""
    try:
        # After a NUL, a line end may come before the XML declaration, which must come first.
        return plistlib.loads(data.strip(), fmt=plistlib.FMT_XML)
    except Exception:  # noqa: BLE001 - plistlib raises a dozen kinds on a garbled one
        return None


def json_document(data: bytes) -> object:
    """The content of a JSON document; None where it is cut or none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def table(value: object) -> Table:
    """`value` where it is a table, else an empty one."""
    return value if isinstance(value, dict) else {}


def tables(value: object) -> list[Table]:
    """The tables of a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text(value: object) -> str | None:
    """`value` where it is a short text that can be shown, else None."""
    return readable(value) if isinstance(value, str) else None
