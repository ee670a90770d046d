"""Writing a log in the genuine layout of versions 4 and 9."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from drilling.setitec import names

Rows = list[list[str]]
_BREAK_ROWS = 46
_NAMES_BEFORE_BREAK = 9
_OPTIONAL_SIGNALS = {
    4: (
        "Mem Torque min (A)", "Mem Thrust min (A)", "Rotation Speed (rpm)", "Feed Speed (mm/s)",
        "Torque Power (W)",
    ),
    9: ("Torque Power (W)", "Gap Length (mm)"),
}  # fmt: skip
_STROKE_AND_FEED = {
    4: ("DEP (mm)", "AV (mm/s)", "AV (mm/tr)"),
    9: ("Stroke (mm)", "Feed (mm/s)", "Feed (mm/tr)"),
}


@dataclass(frozen=True, slots=True)
class LogContent:
    """What a log says of one hole. `signals` has its columns under the names of `SetitecLog`."""

    version: int
    recorded_at: datetime
    box_serial: str
    motor_serial: str
    head_name: str
    tag: str
    counters: tuple[int, int]
    customer_info: str
    program: Sequence[Mapping[str, float | str]]
    results: Mapping[str, float | str]
    step_results: Sequence[Mapping[str, float]]
    signals: pl.DataFrame


def encode_log(content: LogContent) -> bytes:
    """The file's bytes: tab-separated latin-1 text with decimal commas."""
    sections = [
        (names.GENERAL, _pair(_general(content))),
        (names.BOX, _box(content)),
        (names.MOTOR, _pair(_motor(content))),
        (names.HEAD, _pair(_head(content))),
        (names.PSET, _pair({"Pset n°" if content.version == 4 else "Pset Nb.": number_text(1)})),
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


def program_row(version: int, **columns: float | str) -> dict[str, float | str]:
    """A recipe step under the names of a version; `stroke_mm`, `feed_mm_s`, `feed_mm_rev` and others."""
    stroke, feed, feed_rev = _STROKE_AND_FEED[version]
    layout = [name for name in names.PROGRAM_NAMES if names.column_name(name) not in _RENAMED]
    layout[2:2] = [stroke]
    layout[4:4] = [feed, feed_rev]
    return {name: columns.get(names.column_name(name), 0.0) for name in layout}


_RENAMED = frozenset({"stroke_mm", "feed_mm_s", "feed_mm_rev"})


def _general(content: LogContent) -> dict[str, float | str]:
    fields: dict[str, float | str] = {
        "Version": float(content.version),
        "Date": content.recorded_at.strftime("%Y-%m-%d:%H:%M:%S"),
        "Sample Rate (Hz)": 100.0,
    }
    return fields if content.version == 4 else fields | {"Decimal Separator separator": "Comma"}


def _box(content: LogContent) -> Rows:
    day = content.recorded_at - timedelta(days=400)
    values = [
        "BOX 1", "EDU_BOX", content.box_serial, "STSE 12", content.customer_info, number_text(2), "4.31",
        day.strftime("%d/%m/%Y"), day.strftime("%d/%m/%Y"), number_text(812.5), number_text(30),
        "1.000" if content.version == 4 else number_text(1),
    ]  # fmt: skip
    if content.version >= 8:
        return [list(names.BOX_NAMES), [*values, number_text(1)]]
    unbroken = list(names.BOX_NAMES[:12])
    resumed = unbroken[_NAMES_BEFORE_BREAK - 1 :]
    return [unbroken[:_NAMES_BEFORE_BREAK], *([""] for _ in range(_BREAK_ROWS)), resumed, values]


def _motor(content: LogContent) -> dict[str, float | str]:
    ratio = "1.000" if content.version == 4 else " 1,000"
    values = ("MOTOR 1", "L_EDU", "STSE 7", content.motor_serial, 403.0, ratio, ratio, ratio, 12.0)
    return dict(zip(names.MOTOR_NAMES, values, strict=True))


def _head(content: LogContent) -> dict[str, float | str]:
    numbers = tuple(float(counter) for counter in content.counters)
    suffixes = (
        ("Global Counter", "Local Counter")
        if content.version == 4
        else ("Global Counter 1", "Global Counter 2")
    )
    fields: dict[str, float | str] = {
        "Head Name": content.head_name,
        "Head Type": "Concentic Collet",
        "Head TAG UID": content.tag,
        f"Head {suffixes[0]}": numbers[0],
        f"Head {suffixes[1]}": numbers[1],
        "Head M1 Ratio": 1.0,
        "Head M2 Ratio": 1.0,
        "Customer Info": content.customer_info,
    }
    return fields if content.version < 9 else fields | {"Micropeck Osc.": 0.0, "Micropeck Amplitude": 0.0}


def _cycle(content: LogContent) -> Rows:
    limits = {"Max cycles": 500.0, "CC Pressure": 6.0, "Max Stroke (mm)": 60.0, "Vacuum Delay (ms)": 500.0}
    if content.version >= 8:
        limits = {
            "Max cycles Limit 1": 500.0, "Max cycles Limit 2": 600.0, "CC Pressure": 6.0,
            "Max Stroke (mm)": 60.0, "Vacuum Delay (ms)": 500.0, "Vacuum Flow min (m/s)": 0.0,
            "Retract Rotation Speed (rpm)": 500.0, "Retract Feed (m/s)": 0.02, "Disable Abort": 0.0,
        }  # fmt: skip
    breakage = {"Cutting tool breakage On/Off": 0.0, "DEP (mm)": 0.0, "Thrust (A)": 0.0, "Torque (A)": 0.0}
    rows = [*_pair(limits), *_pair(breakage)]
    if content.version >= 8:
        rows += _pair({"Lub Preload Time (s)": 0.0, "Lub Air": 0.0, "Lub Flow": 0.0, "Timeout (s)": 5.0})
    return [*rows, [""], *_pair({"Comment": content.customer_info})]


def _pair(fields: Mapping[str, float | str]) -> Rows:
    return [list(fields), [_text(value) for value in fields.values()]]


def _table(rows: Sequence[Mapping[str, float | str]] | Sequence[Mapping[str, float]]) -> Rows:
    return [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else number_text(value)


def _section(title: str, rows: Rows) -> str:
    width = max(len(row) for row in rows)
    padded = [[f"*** {title} ***"], *rows, [""]]
    return "".join("\t".join(row + [""] * (width - len(row))) + "\n" for row in padded)


def _samples(content: LogContent) -> str:
    header = [*list(names.SIGNALS)[:7], *_OPTIONAL_SIGNALS[content.version]]
    table = content.signals.select(
        pl.col(names.SIGNALS[name]).cast(pl.Float64).alias(name) for name in header
    ).with_columns(-pl.col("Position (mm)"))
    rows = table.write_csv(
        separator="\t", include_header=False, float_precision=3, decimal_comma=True, quote_style="never"
    )
    title = f"*** {names.DATAS} ***" + "\t" * (len(header) - 1)
    return f"{title}\n" + "\t".join(header) + "\n" + rows
