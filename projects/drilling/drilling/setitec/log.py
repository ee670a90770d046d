"""One drilling log, read: `read_log` returns what it could read and names what it could not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from drilling.errors import LogUnreadable
from drilling.setitec import names
from drilling.setitec.container import open_container
from drilling.setitec.dates import read_date
from drilling.setitec.header import number, read_header, scalar
from drilling.setitec.problem import Problem
from drilling.setitec.samples import read_samples

__all__ = ["Problem", "SetitecLog", "read_log"]

_USUAL_RATE_HZ = 100.0


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
    if not raw or raw.isspace():
        raise LogUnreadable(origin, "it is empty")
    container = open_container(raw)
    if container.data is None:
        raise LogUnreadable(origin, "it has no section of samples")
    problems = list(container.problems)
    pairs, tables = read_header(container.header, container.delimiter, container.encoding, problems)
    general = pairs.get(names.GENERAL, {})
    version, rate = _version(general, problems), _sample_rate(general, problems)
    recorded_at = read_date(general.get("Date", ""), problems)
    signals = read_samples(container.data, container.delimiter, version, rate, problems)
    if signals is None:
        raise LogUnreadable(origin, "no row has a position and a current")
    results = pairs.pop(names.RESULTS, {})
    return SetitecLog(
        source=origin,
        version=version,
        sample_rate_hz=rate,
        recorded_at=recorded_at,
        header=pairs,
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


def _version(general: Mapping[str, str], problems: list[Problem]) -> int | None:
    value = number(general.get("Version", ""))
    if value is None or value % 1:
        problems.append(Problem("version_unknown", names.GENERAL, None, "no version number"))
        return None
    if value not in names.VERSIONS:
        detail = f"version {value:g} is none of those that are known"
        problems.append(Problem("version_unusual", names.GENERAL, None, detail))
    return int(value)


def _sample_rate(general: Mapping[str, str], problems: list[Problem]) -> float:
    value = number(general.get("Sample Rate (Hz)", ""))
    if value is None or not 0 < value < float("inf"):
        detail = f"no sample rate: {_USUAL_RATE_HZ:g} Hz taken, as in every known log"
        problems.append(Problem("rate_assumed", names.GENERAL, None, detail))
        return _USUAL_RATE_HZ
    if value != _USUAL_RATE_HZ:
        detail = f"{value:g} Hz, where every known log has {_USUAL_RATE_HZ:g}: times are by what the log says"
        problems.append(Problem("rate_unusual", names.GENERAL, None, detail))
    return value
