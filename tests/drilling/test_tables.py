"""Logs as Arrow tables and Parquet files."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from pyarrow import parquet

from drilling.errors import NoLogs
from drilling.setitec import SetitecLog, read_log, read_tables, to_arrow, write_parquet, write_tables
from drilling.setitec.table import HOLES, METADATA_KEY, PROBLEMS, SIGNALS
from drilling.synthetic import make_hole


@pytest.fixture(scope="module")
def log() -> SetitecLog:
    return read_log(make_hole(0, holes=40, seed=7).content)


def test_an_arrow_table_has_the_signals_and_everything_else_as_metadata(log: SetitecLog) -> None:
    table = to_arrow(log)
    assert pl.DataFrame(table).equals(log.signals)
    about = json.loads(table.schema.metadata[METADATA_KEY])
    assert about["header"] == log.header
    assert about["results"] == log.results
    assert [problem["kind"] for problem in about["problems"]] == [problem.kind for problem in log.problems]


def test_a_parquet_file_gives_the_same_table_back(log: SetitecLog, tmp_path: Path) -> None:
    write_parquet(log, tmp_path / "hole.parquet")
    table = parquet.read_table(tmp_path / "hole.parquet")
    assert table.equals(to_arrow(log))
    assert table.schema.metadata[METADATA_KEY] == to_arrow(log).schema.metadata[METADATA_KEY]


def test_many_logs_go_into_three_tables_with_a_row_group_each(tmp_path: Path) -> None:
    logs = []
    for number in range(3):
        path = tmp_path / "logs" / f"{number}.xls"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(make_hole(number, holes=40, seed=7).content)
        logs.append(read_log(path))
    assert write_tables(iter(logs), tmp_path / "out", tmp_path / "logs") == 3
    assert parquet.ParquetFile(tmp_path / "out" / SIGNALS).num_row_groups == 3
    holes = pl.read_parquet(tmp_path / "out" / HOLES)
    assert holes["file"].to_list() == ["0.xls", "1.xls", "2.xls"]
    assert holes["rows"].to_list() == [log.signals.height for log in logs]
    assert holes["digest"].str.len_chars().to_list() == [64] * 3
    problems = pl.read_parquet(tmp_path / "out" / PROBLEMS)
    assert problems.height == sum(len(log.problems) for log in logs)
    for log, again in zip(logs, read_tables(tmp_path / "out"), strict=True):
        assert again.signals.equals(log.signals)


def test_a_log_with_empty_cells_and_without_a_header_comes_back(log: SetitecLog, tmp_path: Path) -> None:
    rows = make_hole(0, holes=40, seed=7).content.split(b"*** Datas ***")[1].splitlines()[2:]
    cells = [b"\t".join(row.split(b"\t")[:7]) for row in rows]
    cells[5] = cells[5].replace(b",", b"#", 1)
    bare = read_log(b"\n".join(cells) + b"\n")
    write_tables([bare], tmp_path, tmp_path)
    (again,) = read_tables(tmp_path)
    assert again.signals.equals(bare.signals)
    assert (again.version, again.header, again.problems) == (None, {}, bare.problems)


def test_a_failure_on_the_way_leaves_the_older_tables(log: SetitecLog, tmp_path: Path) -> None:
    write_tables([log], tmp_path, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken() -> object:
        yield log
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        write_tables(broken(), tmp_path, tmp_path)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_tables_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoLogs):
        list(read_tables(tmp_path))
    (tmp_path / HOLES).write_text("no parquet")
    with pytest.raises(NoLogs):
        list(read_tables(tmp_path))
