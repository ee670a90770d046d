"""One drilling log, read: `read_log` returns what it could read and names what it could not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from drilling.errors import LogUnreadable
from drilling.setitec import names
from drilling.setitec.container import Container, open_container
from drilling.setitec.header import is_table, number, read_pairs, read_table, scalar
from drilling.setitec.problem import Problem
from drilling.setitec.samples import read_samples

__all__ = ["Problem", "SetitecLog", "read_log"]

_USUAL_RATE_HZ = 100.0
_DATES = ("%Y-%m-%d:%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class SetitecLog:
    """One hole's log.

    `signals` has a row per sample: index, step_time_s, position_mm (|position|, growing downward),
    torque_a and thrust_a (net of the no-load currents torque_empty_a and thrust_empty_a), step,
    stop_code, then whatever else the version records. Null where the file holds no number.
    `header` holds each section's values as text under the names written in the file.
    """

    source: str
    version: int | None
    sample_rate_hz: float
    recorded_at: datetime | None
    header: Mapping[str, Mapping[str, str]]
    program: pl.DataFrame
    results: Mapping[str, float | bool | str | None]
    step_results: pl.DataFrame
    signals: pl.DataFrame
    problems: tuple[Problem, ...]

    def field(self, section: str, name: str) -> str:
        """A header value as written, empty where the log has none."""
        return self.header.get(section, {}).get(name, "")


def read_log(source: Path | str | bytes) -> SetitecLog:
    """Read a log from a path or from its bytes.

    Raises LogUnreadable where there is no signal; anything else is a Problem of the log.
    """
    origin = "the bytes given" if isinstance(source, bytes) else str(source)
    raw = source if isinstance(source, bytes) else _bytes_of(Path(source))
    if not raw.strip():
        raise LogUnreadable(origin, "it is empty")
    container = open_container(raw)
    if container.data is None:
        raise LogUnreadable(origin, "it has no section of samples")
    problems = list(container.problems)
    header, tables = _read_header(container, problems)
    general = header.get(names.GENERAL, {})
    rate = _sample_rate(general, problems)
    signals = read_samples(container.data, container.delimiter, rate, problems)
    if signals is None:
        raise LogUnreadable(origin, "no row has a position and a current")
    results = header.pop(names.RESULTS, {})
    return SetitecLog(
        source=origin,
        version=_version(general, problems),
        sample_rate_hz=rate,
        recorded_at=_date(general, problems),
        header=header,
        program=tables.get(names.PROGRAM, pl.DataFrame()),
        results={names.column_name(name): scalar(value) for name, value in results.items()},
        step_results=tables.get(names.STEP_RESULTS, pl.DataFrame()),
        signals=signals,
        problems=tuple(problems),
    )


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LogUnreadable(str(path), error.strerror or "it cannot be opened") from error


def _read_header(
    container: Container, problems: list[Problem]
) -> tuple[dict[str, dict[str, str]], dict[str, pl.DataFrame]]:
    header: dict[str, dict[str, str]] = {}
    tables: dict[str, pl.DataFrame] = {}
    for section in container.header:
        if section.title in header or section.title in tables:
            row = section.first_row - 1
            problems.append(Problem("repeated_section", section.title, row, "only the first is read"))
        elif is_table(section.title):
            tables[section.title] = read_table(section, container.delimiter, problems)
        else:
            header[section.title] = read_pairs(section, container.delimiter, problems)
    return header, tables


def _version(general: Mapping[str, str], problems: list[Problem]) -> int | None:
    value = number(general.get("Version", ""))
    if value is None or value % 1:
        problems.append(Problem("version_unknown", names.GENERAL, None, "no version number"))
        return None
    return int(value)


def _sample_rate(general: Mapping[str, str], problems: list[Problem]) -> float:
    value = number(general.get("Sample Rate (Hz)", ""))
    if value is None or not 0 < value < float("inf"):
        detail = f"no sample rate: {_USUAL_RATE_HZ:g} Hz taken, as in every known log"
        problems.append(Problem("rate_assumed", names.GENERAL, None, detail))
        return _USUAL_RATE_HZ
    return value


def _date(general: Mapping[str, str], problems: list[Problem]) -> datetime | None:
    text = general.get("Date", "")
    for form in _DATES:
        try:
            date = datetime.strptime(text, form)
        except ValueError:
            continue
        if date.year <= 1970:
            problems.append(Problem("clock_unset", names.GENERAL, None, f"date {text}"))
        return date
    problems.append(Problem("date_unknown", names.GENERAL, None, f"date {text!r}"))
    return None
