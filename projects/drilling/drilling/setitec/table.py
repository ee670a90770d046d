"""Logs as Arrow tables and Parquet files, for whoever does not speak Python."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from hashlib import file_digest
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from drilling.errors import NoLogs
from drilling.setitec import names
from drilling.setitec.log import Problem, SetitecLog

SIGNALS, HOLES, PROBLEMS = "signals.parquet", "holes.parquet", "problems.parquet"
METADATA_KEY = b"setitec"
_ALWAYS = ("index", "step_time_s", *names.COMMON_SIGNALS)
_HOLE_SCHEMA: dict[str, Any] = {
    "file": pl.String,
    "digest": pl.String,
    "tool": pl.String,
    "head": pl.String,
    "version": pl.Int64,
    "sample_rate_hz": pl.Float64,
    "recorded_at": pl.Datetime("us"),
    "rows": pl.Int64,
    "deepest_mm": pl.Float64,
    "steps": pl.String,
    "problems": pl.Int64,
    "header": pl.String,
    "program": pl.String,
    "results": pl.String,
    "step_results": pl.String,
}
_PROBLEM_SCHEMA: dict[str, Any] = {
    "file": pl.String, "kind": pl.String, "section": pl.String, "row": pl.Int64, "detail": pl.String,
}  # fmt: skip


def to_arrow(log: SetitecLog) -> pa.Table:
    """The signals as an Arrow table; everything else of the log is JSON in its metadata, key `setitec`."""
    table = log.signals.to_arrow()
    about = {**_about(log), "problems": [asdict(problem) for problem in log.problems]}
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(about, default=str).encode()})


def write_parquet(log: SetitecLog, path: Path) -> None:
    """One log as a Parquet file with the metadata of `to_arrow`."""
    _replace(path, lambda part: parquet.write_table(to_arrow(log), part, compression="zstd"))


def write_tables(logs: Iterable[SetitecLog], folder: Path, root: Path) -> int:
    """Many logs as three tables: `signals` (a row group a hole), `holes` and `problems`; gives their number.

    Files are named relative to `root`. The logs are taken one by one, so a stream of any length fits.
    `digest` is the SHA-256 of a file's bytes. Columns are those that any version has; a log without one
    has nulls. Nothing half-written stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holes: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []

    def write_signals(part: Path) -> None:
        with parquet.ParquetWriter(part, _signals_schema(), compression="zstd") as writer:
            for log in logs:
                file = _relative(log, root)
                writer.write_table(_in_schema(log.signals, file))
                holes.append(_hole(log, file))
                problems.extend({"file": file, **asdict(problem)} for problem in log.problems)

    _replace(folder / SIGNALS, write_signals)
    _replace(folder / HOLES, pl.DataFrame(holes, schema=_HOLE_SCHEMA).write_parquet)
    _replace(folder / PROBLEMS, pl.DataFrame(problems, schema=_PROBLEM_SCHEMA).write_parquet)
    return len(holes)


def read_tables(folder: Path) -> Iterator[SetitecLog]:
    """The logs that `write_tables` wrote, one by one, in their order.

    Columns that a version does not have stay away, as when it was read from its file. Raises NoLogs
    where the tables are not there or cannot be read.
    """
    try:
        holes = pl.read_parquet(folder / HOLES)
        problems = pl.read_parquet(folder / PROBLEMS).partition_by("file", as_dict=True)
        signals = parquet.ParquetFile(folder / SIGNALS)
    except (OSError, pl.exceptions.PolarsError, pa.ArrowInvalid) as error:
        raise NoLogs(folder) from error
    with signals:
        for group, hole in enumerate(holes.iter_rows(named=True)):
            table = pl.DataFrame(signals.read_row_group(group)).drop("file")
            yield _log(hole, table, problems.get((hole["file"],)))


def _log(hole: dict[str, Any], signals: pl.DataFrame, problems: pl.DataFrame | None) -> SetitecLog:
    kept = [
        name for name in signals.columns if name in _ALWAYS or signals[name].null_count() < signals.height
    ]
    first = [name for name in _ALWAYS if name in kept]
    noted = [] if problems is None else problems.drop("file").to_dicts()
    return SetitecLog(
        source=hole["file"],
        version=hole["version"],
        sample_rate_hz=hole["sample_rate_hz"],
        recorded_at=hole["recorded_at"],
        header=json.loads(hole["header"]),
        program=pl.DataFrame(json.loads(hole["program"]), infer_schema_length=None),
        results=json.loads(hole["results"]),
        step_results=pl.DataFrame(json.loads(hole["step_results"]), infer_schema_length=None),
        signals=signals.select([*first, *(name for name in kept if name not in first)]),
        problems=tuple(Problem(**problem) for problem in noted),
    )


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _signals_schema() -> pa.Schema:
    numbers = [name for name in dict.fromkeys(names.SIGNALS.values()) if name not in ("step", "stop_code")]
    fields = [("file", pa.string()), ("index", pa.int64()), ("step_time_s", pa.float64())]
    fields += [(name, pa.float64()) for name in numbers]
    return pa.schema([*fields, ("step", pa.int64()), ("stop_code", pa.int64())])


def _in_schema(signals: pl.DataFrame, file: str) -> pa.Table:
    schema = _signals_schema()
    missing = [name for name in schema.names if name not in signals.columns and name != "file"]
    table = signals.with_columns(
        pl.lit(file).alias("file"), *(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)
    )
    return table.select(schema.names).to_arrow().cast(schema)


def _hole(log: SetitecLog, file: str) -> dict[str, Any]:
    about = _about(log)
    as_json = {name: json.dumps(about[name]) for name in ("header", "program", "results", "step_results")}
    return {
        "file": file,
        "digest": _digest(Path(log.source)),
        "tool": log.field(names.HEAD, "Head TAG UID"),
        "head": log.field(names.HEAD, "Head Name"),
        "version": log.version,
        "sample_rate_hz": log.sample_rate_hz,
        "recorded_at": log.recorded_at,
        "rows": log.signals.height,
        "deepest_mm": log.signals["position_mm"].max(),
        "steps": " ".join(map(str, log.signals["step"].drop_nulls().rle().struct.field("value").to_list())),
        "problems": len(log.problems),
        **as_json,
    }


def _about(log: SetitecLog) -> dict[str, Any]:
    return {
        "source": log.source,
        "version": log.version,
        "sample_rate_hz": log.sample_rate_hz,
        "recorded_at": log.recorded_at.isoformat() if log.recorded_at else None,
        "header": log.header,
        "program": _finite(log.program),
        "results": log.results,
        "step_results": _finite(log.step_results),
    }


def _finite(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON takes them: the endless feed per revolution of a spindle at rest becomes null."""
    numbers = table.select(pl.selectors.float()).columns if table.width else []
    return table.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in numbers
    ).to_dicts()


def _relative(log: SetitecLog, root: Path) -> str:
    path = Path(log.source)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else log.source


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the file and put it in its place, so that a reader never meets half of it."""
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
