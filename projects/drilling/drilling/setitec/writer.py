"""Writing a log in the genuine layout of versions 4, 7, 8, 9 and 11."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from drilling.errors import InvalidConfig
from drilling.setitec import names

Value = float | str
Rows = list[list[str]]
_BREAK_ROWS = 46
_NAMES_BEFORE_BREAK = 9
_FRENCH = ("DEP (mm)", "AV (mm/s)", "AV (mm/tr)")
_ENGLISH = ("Stroke (mm)", "Feed (mm/s)", "Feed (mm/tr)")


@dataclass(frozen=True, slots=True)
class LogContent:
    """What a log says of one hole. `signals` has its columns under the names of `SetitecLog`.

    `micropeck` is (oscillations per revolution, amplitude), zeros where the head does not peck.
    """

    version: int
    recorded_at: datetime
    box_serial: str
    motor_type: str
    motor_serial: str
    head_name: str
    tag: str
    counters: tuple[int, int]
    customer_info: str
    pset: int
    program: Sequence[Mapping[str, Value]]
    max_stroke_mm: float
    results: Mapping[str, Value]
    step_results: Sequence[Mapping[str, float]]
    signals: pl.DataFrame
    micropeck: tuple[float, float] = (0.0, 0.0)


def encode_log(content: LogContent) -> bytes:
    """The file's bytes: tab-separated latin-1 text with decimal commas.

    Raises InvalidConfig for a version that no unit writes.
    """
    if content.version not in names.VERSIONS:
        raise InvalidConfig(
            "encode_log", f"version {content.version!r} is not one of {sorted(names.VERSIONS)}"
        )
    sections = [
        (names.GENERAL, _pair(_general(content))),
        (names.BOX, _box(content)),
        (names.MOTOR, _pair(_motor(content))),
        (names.HEAD, _pair(_head(content))),
        (names.PSET, _pair(_pset(content))),
        (names.CYCLE, _cycle(content)),
        (names.PROGRAM, _table(content.program)),
        (names.RESULTS, _pair(content.results)),
    ]
    if content.version >= 7:
        sections.append((names.STEP_RESULTS, _table(content.step_results)))
    header = "".join(_section(title, rows) for title, rows in sections)
    return (header + _samples(content)).encode("latin-1")


def number_text(value: float) -> str:
    """A number as the units write it: three decimals and a decimal comma; `Inf` for infinity."""
    return "Inf" if value == float("inf") else f"{value:.3f}".replace(".", ",")


def program_row(version: int, **columns: Value) -> dict[str, Value]:
    """A recipe step under the names of a version; `stroke_mm`, `feed_mm_s`, `feed_mm_rev` and others."""
    stroke, feed, feed_rev = _FRENCH if version < 8 else _ENGLISH
    layout = [name for name in names.PROGRAM_NAMES if name not in (*_FRENCH, *_ENGLISH)]
    layout[2:2] = [stroke]
    layout[4:4] = [feed, feed_rev]
    return {name: columns.get(names.column_name(name), 0.0) for name in layout}


def _general(content: LogContent) -> dict[str, Value]:
    fields: dict[str, Value] = {
        "Version": float(content.version),
        "Date": content.recorded_at.strftime("%Y-%m-%d:%H:%M:%S"),
        "Sample Rate (Hz)": 100.0,
    }
    if content.version < 8:
        return fields
    return fields | {"Decimal Separator separator" if content.version < 11 else "Decimal Separator": "Comma"}


def _box(content: LogContent) -> Rows:
    made, serviced = (content.recorded_at - timedelta(days=days) for days in (1400, 200))
    values = [
        "BOX 1", "EDU_BOX", content.box_serial, "STSE 12", content.customer_info, number_text(2), "4.31",
        _day(made), _day(serviced), number_text(812.5), number_text(30), _ratio(content.version),
    ]  # fmt: skip
    unbroken = list(names.BOX_NAMES)
    if content.version >= 8:
        width = 13 if content.version < 11 else 14
        return [unbroken[:width], [*values, number_text(1), number_text(0)][:width]]
    if content.version == 7:
        return [unbroken[:12], values]
    resumed = unbroken[_NAMES_BEFORE_BREAK - 1 : 12]
    return [unbroken[:_NAMES_BEFORE_BREAK], *([""] for _ in range(_BREAK_ROWS)), resumed, values]


def _motor(content: LogContent) -> dict[str, Value]:
    ratio = _ratio(content.version)
    values: list[Value] = [
        "MOTOR 1", content.motor_type, "STSE 7", content.motor_serial, 403.0, ratio, ratio, ratio, 12.0,
    ]  # fmt: skip
    if content.version >= 11:
        values += [_day(content.recorded_at - timedelta(days=days)) for days in (1100, 90)]
    return dict(zip(names.MOTOR_NAMES, values, strict=False))


def _ratio(version: int) -> str:
    """Ratios: points in versions 4 and 7, a leading space before the number in 8 and 9."""
    if version < 8:
        return "1.000"
    return " 1,000" if version < 11 else "1,000"


def _head(content: LogContent) -> dict[str, Value]:
    global_name, local_name = (
        ("Head Global Counter", "Head Local Counter")
        if content.version == 4
        else ("Head Counter 1", "Head Counter 2")
    )
    fields: dict[str, Value] = {
        "Head Name": content.head_name,
        "Head Type": "Concentic Collet",
        "Head TAG UID": content.tag,
        global_name: float(content.counters[0]),
        local_name: float(content.counters[1]),
        "Head M1 Ratio": 1.0,
        "Head M2 Ratio": 1.0,
        "Customer Info": content.customer_info,
    }
    if content.version < 9:
        return fields
    return fields | dict(zip(("Micropeck Osc.", "Micropeck Amplitude"), content.micropeck, strict=True))


def _pset(content: LogContent) -> dict[str, Value]:
    name = "Pset n°" if content.version < 8 else "Pset Nb."
    fields: dict[str, Value] = {name: float(content.pset)}
    return fields if content.version < 7 else fields | {"Drilling Cycle ID": float(content.counters[0])}


def _cycle(content: LogContent) -> Rows:
    limits: dict[str, Value] = {
        "Max cycles": 500.0, "CC Pressure": 6.0, "Max Stroke (mm)": content.max_stroke_mm,
        "Vacuum Delay (ms)": 500.0,
    }  # fmt: skip
    if content.version >= 8:
        limits = {
            "Max cycles Limit 1": 500.0, "Max cycles Limit 2": 600.0, "CC Pressure": 6.0,
            "Max Stroke (mm)": content.max_stroke_mm, "Vacuum Delay (ms)": 500.0,
            "Vacuum Flow min (m/s)": 0.0,
            "Retract Rotation Speed (rpm)": 500.0, "Retract Feed (m/s)": 0.02, "Disable Abort": 0.0,
        }  # fmt: skip
    breakage = {"Cutting tool breakage On/Off": 0.0, "DEP (mm)": 0.0, "Thrust (A)": 0.0, "Torque (A)": 0.0}
    rows = [*_pair(limits), *_pair(breakage)]
    if content.version >= 8:
        rows += _pair({"Lub Preload Time (s)": 0.0, "Lub Air": 0.0, "Lub Flow": 0.0, "Timeout (s)": 5.0})
    return rows if content.version < 7 else [*rows, [""], *_pair({"Comment": content.customer_info})]


def _day(date: datetime) -> str:
    return date.strftime("%d/%m/%Y")


def _pair(fields: Mapping[str, Value]) -> Rows:
    return [list(fields), [_text(value) for value in fields.values()]]


def _table(rows: Sequence[Mapping[str, Value]] | Sequence[Mapping[str, float]]) -> Rows:
    return [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]


def _text(value: Value) -> str:
    return value if isinstance(value, str) else number_text(value)


def _section(title: str, rows: Rows) -> str:
    width = max(len(row) for row in rows)
    padded = [[f"*** {title} ***"], *rows, [""]]
    return "".join("\t".join(row + [""] * (width - len(row))) + "\n" for row in padded)


def _samples(content: LogContent) -> str:
    """The rows of samples. Version 11 names the gap twice and writes it once."""
    written = [*list(names.SIGNALS)[:7], *names.OPTIONAL_SIGNALS[content.version]]
    table = content.signals.select(
        pl.col(names.SIGNALS[name]).cast(pl.Float64).alias(name) for name in written
    ).with_columns(-pl.col("Position (mm)"))
    rows = table.write_csv(
        separator="\t", include_header=False, float_precision=3, decimal_comma=True, quote_style="never"
    )
    header = written if content.version < 11 else [*written, written[-1]]
    title = f"*** {names.DATAS} ***" + "\t" * (len(header) - 1)
    return f"{title}\n" + "\t".join(header) + "\n" + rows
