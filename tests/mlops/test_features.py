"""Which numbers of an inference go into the log."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlops.features import MOST_BYTES, MOST_ROWS, sampled, told

NOTHING: dict[str, np.ndarray] = {}


def test_columns_are_kept_as_they_are() -> None:
    inputs = {
        "length": np.array([1.5, 2.25]),
        "kind": np.array(["steel", "x" * 200]),
        "on": np.array([True, False]),
    }
    found = json.loads(told(inputs, {"y": np.array([7, 8])}, 0.00123456))
    assert (found["rows"], found["model_s"]) == (2, 0.001235)
    assert found["inputs"] == {"length": [1.5, 2.25], "kind": ["steel", "x" * 64], "on": [True, False]}
    assert found["outputs"] == {"y": [7, 8]}


def test_a_long_array_is_told_by_its_statistics_and_by_channel_where_it_has_some() -> None:
    rng = np.random.default_rng(3)
    windows, spectrum = rng.normal(size=(3, 512, 2)), rng.normal(size=(3, 400))
    found = json.loads(told({"w": windows, "s": spectrum}, NOTHING, 0.0))["inputs"]
    assert sorted(found) == sorted(
        [*(f"w[{place}].{name}" for place in (0, 1) for name in ("mean", "std", "min", "max"))]
        + [f"s.{name}" for name in ("mean", "std", "min", "max")]
    )
    np.testing.assert_allclose(found["w[1].std"], windows[:, :, 1].std(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found["s.max"], spectrum.max(axis=1), rtol=1e-5)


def test_what_is_not_finite_is_null() -> None:
    found = json.loads(told({"x": np.array([1.0, np.nan, np.inf])}, NOTHING, 0.0))
    assert found["inputs"] == {"x": [1.0, None, None]}


def test_arrays_that_do_not_go_by_row_are_left_out() -> None:
    found = json.loads(told({"x": np.arange(4.0), "shift": np.array([1])}, {"total": np.float64(3)}, 0.0))
    assert (list(found["inputs"]), found["outputs"]) == (["x"], {})


@pytest.mark.parametrize("rows", [1, MOST_ROWS + 1, 100_000])
@pytest.mark.parametrize("columns", [1, 64])
def test_it_fits_into_a_header_whatever_is_asked(rows: int, columns: int) -> None:
    inputs = {f"{'name' * 20}{place}": np.full((rows, columns), -1.23456e-300) for place in range(3)}
    text = told(inputs, {"y": np.arange(rows)}, 0.0)
    assert len(text) <= MOST_BYTES
    assert text.isascii()
    found = json.loads(text)
    assert found["rows"] == rows
    kept = {len(values) for values in found["inputs"].values()}
    assert kept <= set(range(1, MOST_ROWS + 1))
    assert columns > 1 or kept


def test_kept_rows_are_spread_over_all() -> None:
    found = json.loads(told({"x": np.arange(1000)}, NOTHING, 0.0))["inputs"]["x"]
    assert (found[0], found[-1], len(found)) == (0, 999, MOST_ROWS)


def test_nothing_asked_is_nothing_told() -> None:
    assert json.loads(told(NOTHING, NOTHING, 0.0)) == {"rows": 0, "model_s": 0.0, "inputs": {}, "outputs": {}}


def test_a_reference_has_the_features_of_the_log_and_more_rows() -> None:
    inputs = {"x": np.arange(100.0) / 3, "kind": np.array(["steel"] * 100)}
    outputs = {"y": np.arange(200.0).reshape(100, 2)}
    logged = json.loads(told(inputs, outputs, 0.0))
    found = sampled(inputs, outputs, 100)
    assert list(found) == ["inputs", "outputs"]
    for side in found:
        assert list(found[side]) == list(logged[side])
        for name, values in found[side].items():
            assert len(values) == 100
            assert set(logged[side][name]) <= set(values)


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_a_reference_keeps_at_most_as_many_rows_as_it_may(most: int) -> None:
    found = sampled({"x": np.arange(50)}, NOTHING, most)["inputs"]["x"]
    assert len(found) == min(50, most)
    assert sampled(NOTHING, NOTHING, most) == {"inputs": {}, "outputs": {}}
