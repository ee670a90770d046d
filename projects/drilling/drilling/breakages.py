"""The damage that genuine logs are found with, done to a sound log on request."""

import re
from collections.abc import Callable

from drilling.errors import InvalidConfig

_DATAS = b"*** Datas ***"
_SHORT_ROWS = 56
_COMMON_NAMES = (
    b"Position (mm)\tI Torque (A)\tI Thrust (A)\tI Torque Empty (A)\tI Thrust Empty (A)\tStep (nb)\tStop code"
)


def apply_breakage(raw: bytes, name: str) -> bytes:
    """A log's bytes with that damage. Raises InvalidConfig for a name that is not in BREAKAGES."""
    if name not in BREAKAGES:
        raise InvalidConfig("breakage", f"{name!r} is not one of: {', '.join(BREAKAGES)}")
    return BREAKAGES[name](raw)


def _nul(raw: bytes) -> bytes:
    return raw.replace(b"MOTOR 1", b"MOTOR 1\0")


def _escaped_nul(raw: bytes) -> bytes:
    return raw.replace(b"MOTOR 1", b"MOTOR 1\\u0000")


def _double_encoding(raw: bytes) -> bytes:
    return raw.replace("Pset n°".encode("latin-1"), "Pset nï¿½".encode("latin-1"))


def _semicolons(raw: bytes) -> bytes:
    return raw.replace(b"\t", b";").replace(b",", b".")


def _missing_tab(raw: bytes) -> bytes:
    return raw.replace(b"Stroke Limit (A)\tThrust Limit (A)", b"Stroke Limit (A)Thrust Limit (A)")


def _more_names(count: int) -> Callable[[bytes], bytes]:
    """More data names than values: the last name repeated until there are `count` more."""

    def broken(raw: bytes) -> bytes:
        head, names, rows = _parts(raw)
        last = names.rsplit(b"\t", 1)[-1]
        return head + names + (b"\t" + last) * count + b"\n" + rows

    return broken


def _unset_clock(raw: bytes) -> bytes:
    return re.sub(rb"\d{4}-\d\d-\d\d(:\d\d:\d\d:\d\d)", rb"1970-01-01\1", raw, count=1)


def _iso_date(raw: bytes) -> bytes:
    return re.sub(rb"(\d{4}-\d\d-\d\d):(\d\d:\d\d:\d\d)", rb"\1T\2Z", raw, count=1)


def _empty_motor(raw: bytes) -> bytes:
    return re.sub(
        rb"^MOTOR 1[^\n]*", lambda row: b"\t" * row[0].count(b"\t"), raw, count=1, flags=re.MULTILINE
    )


def _short_cycle(raw: bytes) -> bytes:
    head, names, rows = _parts(raw)
    return head + names + b"\n" + b"".join(rows.splitlines(keepends=True)[:_SHORT_ROWS])


def _cycle_not_ok(raw: bytes) -> bytes:
    return raw.replace(b"\tTrue", b"\tFalse")


def _data_only(raw: bytes) -> bytes:
    rows = [b"\t".join(row.split(b"\t")[:7]) for row in _parts(raw)[2].splitlines()]
    return b"\n".join([_COMMON_NAMES, *rows]) + b"\n"


def _eight_columns(raw: bytes) -> bytes:
    """No thrust without load; the step, the stop code and two memories at the end."""
    head, _, rows = _parts(raw)
    kept = [row.split(b"\t") for row in rows.splitlines()]
    body = b"".join(b"\t".join([*row[:4], *row[5:7], b"0,000", b"0,000"]) + b"\n" for row in kept)
    names = _COMMON_NAMES.replace(b"\tI Thrust Empty (A)", b"") + b"\tMem Torque min (A)\tMem Thrust min (A)"
    return head + names + b"\n" + body


def _carriage_returns(raw: bytes) -> bytes:
    return raw.replace(b"\n", b"\r\n")


def _parts(raw: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the row of data names, that row, and the rows of samples."""
    begin = raw.index(b"\n", raw.index(_DATAS)) + 1
    names, _, rows = raw[begin:].partition(b"\n")
    return raw[:begin], names, rows


# The broken box header of version 4 needs no entry: the writer writes it, as every unit does.
BREAKAGES: dict[str, Callable[[bytes], bytes]] = {
    "nul": _nul,
    "escaped nul": _escaped_nul,
    "double encoding": _double_encoding,
    "semicolons": _semicolons,
    "missing tab": _missing_tab,
    "one name too many": _more_names(1),
    "four names too many": _more_names(4),
    "six names too many": _more_names(6),
    "unset clock": _unset_clock,
    "iso date": _iso_date,
    "empty motor": _empty_motor,
    "short cycle": _short_cycle,
    "cycle not ok": _cycle_not_ok,
    "data only": _data_only,
    "eight columns": _eight_columns,
    "carriage returns": _carriage_returns,
}
