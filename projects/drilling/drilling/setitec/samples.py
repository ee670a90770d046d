"""The samples of a log: the `Datas` section as a table with the package's own column names."""

import io
import re

import numpy as np
import polars as pl

from drilling.setitec import names
from drilling.setitec.container import Section
from drilling.setitec.problem import Problem

_MOST_ROWS_NAMED = 20
_NUMERIC = re.compile(r"^[\s;]*[-+]?\d")
_REQUIRED = ("position_mm", "torque_a", "thrust_a", "step", "stop_code")


def read_samples(
    section: Section, delimiter: str, sample_rate_hz: float, problems: list[Problem]
) -> pl.DataFrame | None:
    """The signals table, or None where no row holds a position together with a current.

    `position_mm` is |Position|: the depth below the tool's rest, growing downward. `step_time_s`
    counts from the first row of each run of equal steps, since the format has no time column.
    """
    header, body, first_row = _names_and_body(section, delimiter, problems)
    if not body.strip(" \t;"):
        return None
    cells = _without_padding(_cells(body, delimiter, first_row, section.title, problems), header)
    columns = _column_names(header, cells.width, problems)
    if "position_mm" not in columns:
        return None
    table = _named(cells, columns, first_row, problems)
    table = _without_blank_rows(table, first_row, problems)
    current = pl.any_horizontal(pl.col("torque_a", "thrust_a").is_not_null())
    if table.filter(pl.col("position_mm").is_not_null() & current).is_empty():
        return None
    return _with_time(_with_depth(table, problems), sample_rate_hz)


def _names_and_body(section: Section, delimiter: str, problems: list[Problem]) -> tuple[list[str], str, int]:
    text, row = section.body, section.first_row
    while text:
        line, _, rest = text.partition("\n")
        if line.strip(" \t;"):
            break
        text, row = rest, row + 1
    body_only = bool(_NUMERIC.match(text))
    if body_only:
        problems.append(Problem("no_names", names.DATAS, row, "columns named by their usual order"))
        return [], _trimmed(text), row
    line, _, rest = text.partition("\n")
    header = [cell.strip().strip('"') for cell in line.split(delimiter)]
    while header and not header[-1]:
        header.pop()
    return header, _trimmed(rest), row + 1


def _trimmed(body: str) -> str:
    """Without the blank rows at the end; the last row keeps its empty cells."""
    end = body.find("\n", len(body.rstrip(" \t;\n")))
    return body if end < 0 else body[:end]


def _without_padding(cells: pl.DataFrame, header: list[str]) -> pl.DataFrame:
    """Without the empty columns that pad rows beyond the names."""
    names_given = len(set(header)) or len(names.COMMON_SIGNALS)
    while cells.width > names_given and cells[cells.columns[-1]].is_null().all():
        cells = cells.drop(cells.columns[-1])
    return cells


def _cells(body: str, delimiter: str, first_row: int, title: str, problems: list[Problem]) -> pl.DataFrame:
    body = body.replace(",", ".")
    width = body.split("\n", 1)[0].count(delimiter) + 1
    if body.count(delimiter) == (body.count("\n") + 1) * (width - 1):
        try:
            return _parsed(body, delimiter, width)
        except pl.exceptions.PolarsError:
            pass
    texts = _aligned(body, delimiter, first_row, problems)
    return _numbers(texts, first_row, title, problems)


def _parsed(body: str, delimiter: str, width: int) -> pl.DataFrame:
    """The cells as numbers; PolarsError where a row is longer than the first or a cell is no number."""
    return pl.read_csv(
        io.BytesIO(body.encode()),
        separator=delimiter,
        has_header=False,
        schema={f"c{place}": pl.Float64 for place in range(width)},
        quote_char=None,
    )


def _aligned(body: str, delimiter: str, first_row: int, problems: list[Problem]) -> pl.DataFrame:
    """The cells as texts, in rows of the commonest width; rows that differ from it are named."""
    rows = [line.rstrip("\t; ").split(delimiter) for line in body.split("\n")]
    widths = [len(row) for row in rows]
    commonest = max(set(widths), key=widths.count)
    uneven = [place for place, row in enumerate(rows) if len(row) != commonest and row != [""]]
    problems.extend(
        Problem("uneven_row", names.DATAS, first_row + place, f"{widths[place]} values, not {commonest}")
        for place in uneven[:_MOST_ROWS_NAMED]
    )
    if len(uneven) > _MOST_ROWS_NAMED:
        detail = f"{len(uneven) - _MOST_ROWS_NAMED} more rows of uneven length"
        problems.append(Problem("uneven_row", names.DATAS, None, detail))
    columns = zip(*(row[:commonest] + [""] * (commonest - len(row)) for row in rows), strict=True)
    return pl.DataFrame([pl.Series(f"c{place}", cells) for place, cells in enumerate(columns)])


def _numbers(texts: pl.DataFrame, first_row: int, title: str, problems: list[Problem]) -> pl.DataFrame:
    stripped = texts.select(pl.all().str.strip_chars())
    cells = stripped.select(pl.all().cast(pl.Float64, strict=False))
    unread = stripped.select(
        (pl.col(name).is_not_null() & (pl.col(name) != "") & cells[name].is_null()).alias(name)
        for name in stripped.columns
    )
    rows, columns = np.nonzero(unread.to_numpy())
    for row, column in list(zip(rows.tolist(), columns.tolist(), strict=True))[:_MOST_ROWS_NAMED]:
        detail = f"{stripped[row, column]!r} is not a number: left empty"
        problems.append(Problem("not_a_number", title, first_row + row, detail))
    if len(rows) > _MOST_ROWS_NAMED:
        detail = f"{len(rows) - _MOST_ROWS_NAMED} more cells that are not numbers"
        problems.append(Problem("not_a_number", title, None, detail))
    return cells


def _column_names(header: list[str], width: int, problems: list[Problem]) -> list[str | None]:
    """A column name for each of `width` values; None for a value that no name is sure to mean."""
    if not header:
        return [*names.COMMON_SIGNALS[:width], *[None] * (width - 7)]
    columns = [names.SIGNALS.get(name, names.column_name(name)) for name in header]
    if len(columns) == width and len(set(columns)) == width:
        return list(columns)
    unique = list(dict.fromkeys(columns))
    detail = f"{len(columns)} names for {width} values"
    if len(unique) == width:
        problems.append(Problem("repeated_name", names.DATAS, None, f"{detail}: repeats left out"))
        return list(unique)
    problems.append(
        Problem("names_and_values_differ", names.DATAS, None, f"{detail}: only the usual seven kept")
    )
    sure = [column if column in names.COMMON_SIGNALS else None for column in columns[:width]]
    repeated = [column if column not in sure[:place] else None for place, column in enumerate(sure)]
    return repeated + [None] * (width - len(repeated))


def _named(
    cells: pl.DataFrame, columns: list[str | None], first_row: int, problems: list[Problem]
) -> pl.DataFrame:
    kept = {name: cells.columns[place] for place, name in enumerate(columns) if name is not None}
    table = cells.select(pl.col(column).alias(name) for name, column in kept.items())
    endless = table.select((pl.all().is_infinite() | pl.all().is_nan()).sum()).sum_horizontal().sum()
    if endless:
        problems.append(Problem("not_finite", names.DATAS, None, f"{endless} values left empty"))
    table = table.with_columns(pl.when(pl.all().is_finite()).then(pl.all()))
    missing = [name for name in names.COMMON_SIGNALS if name not in kept]
    problems.extend(
        Problem("missing_column", names.DATAS, first_row - 1, f"no {name}: left empty") for name in missing
    )
    table = table.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)
    whole = table.select((pl.col("step", "stop_code") % 1 == 0).fill_null(True).all())
    if not all(whole.row(0)):
        problems.append(Problem("not_whole", names.DATAS, None, "steps or stop codes with a fraction"))
    return table.with_columns(
        pl.when(pl.col(name) % 1 == 0).then(pl.col(name)).cast(pl.Int64).alias(name)
        for name in ("step", "stop_code")
    )


def _without_blank_rows(table: pl.DataFrame, first_row: int, problems: list[Problem]) -> pl.DataFrame:
    blank = table.select(pl.all_horizontal(pl.all().is_null())).to_series()
    partial = table.select(pl.any_horizontal(pl.col(*_REQUIRED).is_null())).to_series() & ~blank
    if not table.height or partial.all():
        return table.filter(~blank)
    if blank.any():
        problems.append(
            Problem("blank_rows", names.DATAS, None, f"{blank.sum()} rows without a value left out")
        )
    problems.extend(
        Problem("incomplete_row", names.DATAS, first_row + row, "values missing: left empty")
        for row in partial.arg_true().to_list()[:_MOST_ROWS_NAMED]
    )
    return table.filter(~blank)


def _with_depth(table: pl.DataFrame, problems: list[Problem]) -> pl.DataFrame:
    position = table["position_mm"]
    if (position > 0).any() and (position < 0).any():
        problems.append(
            Problem("mixed_sign", names.DATAS, None, "positions on both sides of 0: |position| kept")
        )
    return table.with_columns(pl.col("position_mm").abs())


def _with_time(table: pl.DataFrame, sample_rate_hz: float) -> pl.DataFrame:
    run = (pl.col("step") != pl.col("step").shift()).fill_null(False).cum_sum()
    optional = [name for name in table.columns if name not in names.COMMON_SIGNALS]
    return table.with_row_index("index").select(
        pl.col("index").cast(pl.Int64),
        (pl.int_range(pl.len()).over(run) / sample_rate_hz).alias("step_time_s"),
        *names.COMMON_SIGNALS,
        *optional,
    )
