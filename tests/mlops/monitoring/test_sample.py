"""Samples of features: what they keep, which kind a column is, and their files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.entities import ColumnKind, Inference, Side
from mlops.errors import InvalidInput, SampleUnreadable
from mlops.features import told
from mlops.monitoring.sample import Sample, SampledColumn

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def inference(place: int, features: dict[str, Any], version: int = 1) -> Inference:
    return Inference(
        NOON + timedelta(seconds=place), "p", "m", version, Side.CHAMPION, f"r{place}", 200, 0.01, features
    )


def same(one: Sample, other: Sample) -> bool:
    about = [(s.rows, s.inferences, s.since, s.until, s.version) for s in (one, other)]
    columns = [[(c.side, c.name, c.kind, c.values.dtype) for c in s.columns] for s in (one, other)]
    return (
        about[0] == about[1]
        and columns[0] == columns[1]
        and all(
            np.array_equal(a.values, b.values, equal_nan=a.holds_numbers)
            for a, b in zip(one.columns, other.columns, strict=True)
        )
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5, 1.5, None], ColumnKind.NUMERICAL),
        ([1.0, 2.0] * 50, ColumnKind.NUMERICAL),
        (list(range(1000)), ColumnKind.NUMERICAL),
        ([0, 1, 2] * 50, ColumnKind.CATEGORICAL),
        ([0, 1, 2], ColumnKind.NUMERICAL),
        ([True, False, None], ColumnKind.CATEGORICAL),
        (["steel", "brass"] * 9, ColumnKind.CATEGORICAL),
        ([f"part {n}" for n in range(500)], ColumnKind.TEXT),
        ([f"part {n % 150}" for n in range(5000)], ColumnKind.CATEGORICAL),
        ([None, None], ColumnKind.NUMERICAL),
        ([], ColumnKind.NUMERICAL),
        ([1, "steel"], ColumnKind.CATEGORICAL),
        ([10**400, -(10**400), 3], ColumnKind.NUMERICAL),
    ],
)
def test_a_column_has_the_kind_of_its_values(values: list[Any], kind: ColumnKind) -> None:
    column = SampledColumn.of("x", "inputs", values)
    assert column.kind is kind
    assert len(column.values) == len(values)
    assert column.missing == values.count(None)
    assert len(column.labels()) == len(column.present) == len(values) - values.count(None)


def test_labels_of_whole_numbers_are_as_people_write_them() -> None:
    assert SampledColumn.of("y", "outputs", [0, 12, None, 3]).labels() == ["0", "12", "3"]
    assert SampledColumn.of("y", "outputs", [True, None]).labels() == ["true"]


def test_what_is_no_number_is_missing_and_what_is_too_large_has_an_end() -> None:
    column = SampledColumn.of("x", "inputs", [float("inf"), float("nan"), None, 10**400, -1e300, 2])
    assert column.missing == 3
    assert column.present.tolist() == [1e100, -1e100, 2.0]


def test_a_reference_and_the_log_of_the_same_rows_are_the_same() -> None:
    rng = np.random.default_rng(1)
    inputs = {"x": rng.normal(size=(20, 3)), "kind": np.array(["a", "b"] * 10)}
    outputs = {"y": rng.normal(size=20)}
    rows = [
        inference(
            n,
            json.loads(
                told(
                    {k: v[n : n + 1] for k, v in inputs.items()},
                    {k: v[n : n + 1] for k, v in outputs.items()},
                    0.0,
                )
            ),
        )
        for n in range(20)
    ]
    reference, window = Sample.of(inputs, outputs), Sample.of_inferences(rows)
    assert [c.name for c in reference.columns] == ["x[0]", "x[1]", "x[2]", "kind", "y"]
    for one, other in zip(reference.columns, window.columns, strict=True):
        assert (one.name, one.side, one.kind) == (other.name, other.side, other.kind)
        assert one.values.tolist() == other.values.tolist()
    assert (window.inferences, window.since, window.until, window.version) == (
        20,
        NOON,
        NOON + timedelta(seconds=19),
        1,
    )
    assert (reference.inferences, reference.since, reference.version) == (0, None, None)


def test_a_reference_keeps_the_rows_it_may() -> None:
    assert Sample.of({"x": np.arange(1000)}, {}, most_rows=10).rows == 10


def test_of_a_request_one_row_is_kept_always_the_same() -> None:
    rows = [
        inference(n, {"inputs": {"x": [n * 10.0 + k for k in range(10)]}, "outputs": {"y": list(range(10))}})
        for n in range(50)
    ]
    window = Sample.of_inferences(rows)
    assert window.rows == 50
    x, y = (column.values.tolist() for column in window.columns)
    assert [value // 10 for value in x] == list(range(50))
    assert [value % 10 for value in x] == y
    assert len(set(y)) > 3
    assert same(window, Sample.of_inferences(rows))
    assert Sample.of_inferences(rows, rows_each=4).rows == 200


@pytest.mark.parametrize("rows_each", [1, 3])
def test_a_window_of_columns_is_that_of_its_inferences(rows_each: int) -> None:
    counts = [5, 1, 2, 7]
    held = [
        {
            "inputs": {"x": [10.0 * n + k for k in range(count)]},
            "outputs": {"y": [k % 2 for k in range(count)]},
        }
        for n, count in enumerate(counts)
    ]
    places = [n for n, count in enumerate(counts) for _ in range(count)]
    sides = {
        side: {name: [value for one in held for value in one[side][name]]}
        for side, name in (("inputs", "x"), ("outputs", "y"))
    }
    found = Sample.of_columns(
        sides,
        [f"r{n}" for n in places],
        [NOON + timedelta(seconds=n) for n in places],
        [1] * len(places),
        rows_each,
    )
    assert same(found, Sample.of_inferences([inference(n, one) for n, one in enumerate(held)], rows_each))


def test_what_the_log_left_out_is_not_missing() -> None:
    window = Sample.of_inferences(
        [
            inference(0, {"inputs": {"x": [1.0], "z": [2.0]}}),
            inference(1, {"inputs": {"x": [3.0]}}),
            inference(2, {}),
            inference(3, {"inputs": {}, "outputs": {}}),
        ]
    )
    assert (window.rows, window.inferences) == (2, 2)
    assert [(c.name, len(c.values), c.missing) for c in window.columns] == [("x", 2, 0), ("z", 1, 0)]


def test_a_window_that_two_versions_answered_names_none() -> None:
    features = {"inputs": {"x": [1.0]}}
    assert Sample.of_inferences([inference(0, features, 1), inference(1, features, 2)]).version is None


def test_an_empty_window_is_a_sample(tmp_path: Path) -> None:
    empty = Sample.of_inferences([])
    assert (empty.rows, empty.columns, empty.since) == (0, (), None)
    empty.write(tmp_path / "s.parquet")
    assert same(Sample.read(tmp_path / "s.parquet"), empty)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: Sample.of({"x": np.arange(3)}, {}, most_rows=0), "most_rows"),
        (lambda: Sample.of({}, {}), "inputs"),
        (lambda: Sample.of({"x": np.float64(1)}, {}), "inputs"),
        (lambda: Sample.of_inferences([], rows_each=0), "rows_each"),
        (lambda: Sample.of_columns({"inputs": {}, "outputs": {}}, [], [], [], rows_each=0), "rows_each"),
    ],
)
def test_what_cannot_be_sampled_is_refused(call: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.field == field
    assert caught.value.remedy


values = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    max_size=12,
)


@settings(deadline=None)
@given(st.lists(values, max_size=4), st.lists(values, max_size=2))
def test_whatever_it_holds_it_comes_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, inputs: list[list[Any]], outputs: list[list[Any]]
) -> None:
    path = tmp_path_factory.mktemp("samples") / "s.parquet"
    columns = [
        SampledColumn.of(f"c{n}", side, held)
        for side, held_by_side in (("inputs", inputs), ("outputs", outputs))
        for n, held in enumerate(held_by_side)
    ]
    sample = Sample(tuple(columns), max((len(c.values) for c in columns), default=0), 3, NOON, NOON, 7)
    sample.write(path)
    assert same(Sample.read(path), sample)
    assert [file.name for file in path.parent.iterdir()] == ["s.parquet"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SampleUnreadable, match=r"gone\.parquet.*no such file"):
        Sample.read(tmp_path / "gone.parquet")


def test_a_cut_or_spoilt_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    Sample.of({"x": np.random.default_rng(0).normal(size=5000)}, {}).write(path)
    whole = path.read_bytes()
    for broken in (b"", b"PAR1", whole[: len(whole) // 2], b"x" * len(whole), whole[:-8] + b"\xff" * 8):
        path.write_bytes(broken)
        with pytest.raises(SampleUnreadable, match=r"s\.parquet") as caught:
            Sample.read(path)
        assert "Sample.write" in caught.value.remedy


def test_another_programs_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table({"x": [1.0]}), path)
    with pytest.raises(SampleUnreadable, match="without the sample's schema"):
        Sample.read(path)


COLUMN = {"name": "x", "side": "inputs", "kind": "numerical", "rows": 1}
SCHEMA = {
    "format": 1,
    "rows": 1,
    "inferences": 0,
    "since": None,
    "until": None,
    "version": None,
    "columns": [COLUMN],
}


@pytest.mark.parametrize(
    "schema",
    [
        SCHEMA | {"format": 2},
        SCHEMA | {"columns": []},
        SCHEMA | {"columns": [COLUMN | {"side": "middle"}]},
        SCHEMA | {"columns": [COLUMN | {"kind": "colour"}]},
        SCHEMA | {"columns": [COLUMN | {"rows": 9}]},
        SCHEMA | {"since": "yesterday"},
        {"format": 1},
        [],
    ],
)
def test_a_schema_that_does_not_fit_is_named(tmp_path: Path, schema: Any) -> None:
    path = tmp_path / "s.parquet"
    table = pa.table({"inputs/x": [1.0]})
    pq.write_table(table.replace_schema_metadata({"mlops.sample": json.dumps(schema)}), path)
    with pytest.raises(SampleUnreadable, match="its schema does not fit"):
        Sample.read(path)


def test_a_column_of_another_type_than_samples_have_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    table = pa.table({"inputs/x": pa.array([True])})
    pq.write_table(table.replace_schema_metadata({"mlops.sample": json.dumps(SCHEMA)}), path)
    with pytest.raises(SampleUnreadable, match="holds bool"):
        Sample.read(path)


def test_a_write_that_fails_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    good = Sample.of({"x": np.arange(5.0)}, {})
    good.write(path)
    bad = Sample((SampledColumn("x", "inputs", ColumnKind.TEXT, np.array([object()])),), 1)
    with pytest.raises(pa.ArrowException):
        bad.write(path)
    assert same(Sample.read(path), good)
    assert [file.name for file in tmp_path.iterdir()] == ["s.parquet"]
