"""The drilling program's steps, as far as the checks need them."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class ProgramStep:
    """One step of the recipe; None where the program has no usable number."""

    number: int
    on: bool | None
    stroke_mm: float | None
    rpm: float | None
    feed_mm_s: float | None
    delay_ms: float | None
    pecks: float | None


def program_steps(program: pl.DataFrame) -> tuple[ProgramStep, ...]:
    """The steps of a log's program that have a number, in its order."""
    if "step_nb" not in program.columns:
        return ()
    rows = program.rows(named=True)
    return tuple(_step(int(number), row) for row in rows if (number := _number(row, "step_nb")) is not None)


def _step(number: int, row: Mapping[str, object]) -> ProgramStep:
    on = _number(row, "step_on_off")
    return ProgramStep(
        number=number,
        on=None if on is None else on > 0,
        stroke_mm=_number(row, "stroke_mm"),
        rpm=_number(row, "rpm"),
        feed_mm_s=_number(row, "feed_mm_s"),
        delay_ms=_number(row, "delay_ms"),
        pecks=_number(row, "peck_nb"),
    )


def _number(row: Mapping[str, object], column: str) -> float | None:
    value = row.get(column)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < float("inf") else None
