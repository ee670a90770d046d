"""The reference of a model version: what is taken for one, how much of it is kept, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.errors import InvalidInput
from mlops.monitoring import reference
from mlops.monitoring.reference import MOST_ROWS, reference_folder, reference_of, thinned, write_reference
from mlops.monitoring.sample import Sample

UNKNOWN: dict[str, list[str] | None] = {"inputs": None, "outputs": None}
X = np.linspace(0, 1, 60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20) / 7


def columns(sample: Sample) -> dict[str, list[Any]]:
    return {f"{column.side}/{column.name}": column.values.tolist() for column in sample.columns}


def test_arrays_become_the_features_that_the_log_has() -> None:
    found = reference_of(({"x": X}, {"y": Y}), UNKNOWN)
    same = Sample.of({"x": X}, {"y": Y})
    assert columns(found) == columns(same)
    assert (found.rows, found.inferences) == (20, 0)


def test_a_frame_is_its_columns_and_one_array_has_the_name_that_serving_gives_it() -> None:
    frame = pd.DataFrame({"width": Y, "kind": ["a", "b"] * 10})
    assert columns(reference_of((frame, Y), UNKNOWN)).keys() == {
        "inputs/width",
        "inputs/kind",
        "outputs/outputs",
    }
    named = reference_of((X[:, 0], Y.tolist()), {"inputs": ["x"], "outputs": ["depth"]})
    assert columns(named).keys() == {"inputs/x", "outputs/depth"}


def test_truths_are_kept_beside_the_columns_and_read_back(tmp_path: Path) -> None:
    truths = {"y": Y, "grade": ["good", None] * 10, "xyz": X}
    found = reference_of(({"x": X}, {"y": Y}, truths), UNKNOWN)
    assert columns(found) == columns(reference_of(({"x": X}, {"y": Y}), UNKNOWN)), "drift has them not"
    write_reference(found, tmp_path / "reference.parquet")
    read = Sample.read(tmp_path / "reference.parquet")
    assert columns(read) == columns(found)
    kept = {each.name: each.values.tolist() for each in read.truths}
    assert kept.keys() == {"y", "grade", "xyz[0]", "xyz[1]", "xyz[2]"}
    assert kept["grade"] == ["good", None] * 10
    assert kept["y"] == pytest.approx(Y, rel=1e-5)
    few = thinned(read, 5)
    assert [len(each.values) for each in few.truths] == [5] * 5
    (alone,) = reference_of((X, Y, Y), {"inputs": ["x"], "outputs": ["depth"]}).truths
    assert alone.name == "depth"


def test_the_truths_that_are_kept_are_those_of_the_rows_that_are() -> None:
    many = np.arange(3 * MOST_ROWS + 7, dtype=np.float64)
    found = reference_of(({"x": many}, {"y": many}, {"y": many}), UNKNOWN)
    assert found.truths[0].values.tolist() == columns(found)["outputs/y"]


def test_a_tensor_with_gradients_is_an_array() -> None:
    torch = pytest.importorskip("torch")
    found = reference_of(({"x": torch.zeros(4, 1, requires_grad=True)}, {}), UNKNOWN)
    assert columns(found) == {"inputs/x[0]": [0.0] * 4}


def test_a_ready_sample_is_taken_as_it_is() -> None:
    ready = Sample.of({"x": X}, {})
    assert reference_of(ready, {"inputs": ["other"], "outputs": []}) is ready
    with pytest.raises(InvalidInput, match="without rows"):
        reference_of(Sample((), 0), UNKNOWN)


def test_so_many_rows_are_kept_evenly_spaced() -> None:
    many = np.arange(4 * MOST_ROWS, dtype=np.float64)
    ready = Sample.of({"x": many}, {})
    for given in (({"x": many}, {}), ready):
        (values,) = columns(reference_of(given, UNKNOWN)).values()
        assert (len(values), values[0], values[-1]) == (MOST_ROWS, 0, len(many) - 1)
        assert set(np.diff(values)) <= {4, 5}


def test_columns_of_their_own_lengths_are_thinned_each() -> None:
    sample = Sample.of_columns(
        {"inputs": {"x": list(range(50))}, "outputs": {"y": ["a", None]}}, ["r"], [], [], rows_each=1
    )
    assert thinned(sample, 100) is sample
    wide = Sample.of({"x": np.arange(50)}, {})
    less = thinned(Sample((*wide.columns, *Sample.of({"y": Y[:2]}, {}).columns), 50), 5)
    assert (less.rows, [len(column.values) for column in less.columns]) == (5, [5, 2])


def test_a_file_that_would_be_large_has_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).random((400, 60))
    sample = Sample.of({"x": noise}, {})
    monkeypatch.setattr(reference, "MOST_BYTES", 100_000)
    write_reference(sample, tmp_path / "reference.parquet")
    kept = Sample.read(tmp_path / "reference.parquet")
    assert 50 <= kept.rows < 400
    assert (tmp_path / "reference.parquet").stat().st_size <= 100_000
    monkeypatch.setattr(reference, "MOST_BYTES", 1000)
    with pytest.raises(InvalidInput, match="single row") as caught:
        write_reference(sample, tmp_path / "reference.parquet")
    assert "monitoring.features" in caught.value.remedy


def test_the_folder_lasts_as_long_as_the_block() -> None:
    with reference_folder(({"x": X}, {"y": Y}), UNKNOWN) as folder:
        assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")] == [reference.PLACE]
        assert Sample.read(folder / reference.PLACE).rows == 20
    assert not folder.exists()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("x", "is no pair"),
        (({"x": X},), "is no pair"),
        (({"x": X}, {"y": Y}, {"y": Y}, {}), "is no pair"),
        (({"x": X}, {"y": Y}, {"y": Y[:-1]}), r"\"truths\['y'\]\": 19.*different lengths"),
        (({"x": X}, {"y": Y}, {"y": np.zeros((20, 65))}), r"truths\['y'\].*shape \(20, 65\)"),
        (({"x": X}, {"y": Y}, {"y": np.zeros((20, 2, 2))}), r"truths\['y'\].*shape"),
        (({"x": X}, {"y": Y}, {"y": 1.5}), r"truths\['y'\].*has no rows"),
        (({}, {"y": Y}), "has no rows"),
        (({"x": X[:0]}, {"y": Y[:0]}), "has no rows"),
        (({"x": 1.5}, {}), r"inputs\['x'\].*has no rows"),
        ((None, {}), "inputs.*has no rows"),
        (({"x": X}, {"y": Y[:-1]}), r"\"outputs\['y'\]\": 19.*different lengths"),
        (({"x": X, "z": Y[:3]}, {}), "different lengths"),
        (({"x": [[1, 2], [3]]}, {}), r"inputs\['x'\].*is no array"),
    ],
)
def test_what_is_no_reference_is_told(given: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as caught:
        reference_of(given, UNKNOWN)
    assert caught.value.field == "reference"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("given", "unknown", "known"),
    [(({"x": X, "z": X}, {}), "'z'.*inputs", "x"), (({"x": X}, {"Y": Y}), "'Y'.*outputs", "y, certainty")],
)
def test_a_name_that_the_signature_has_not_is_told(given: Any, unknown: str, known: str) -> None:
    with pytest.raises(InvalidInput, match=unknown) as caught:
        reference_of(given, {"inputs": ["x"], "outputs": ["y", "certainty"]})
    assert caught.value.remedy == f"They are: {known}."
