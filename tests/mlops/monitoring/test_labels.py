"""Ground truths as people give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops.errors import InvalidInput, InvalidName
from mlops.monitoring.labels import MOST_AT_ONCE, batched, plain_label, read_labels


def item(truth: Any, **more: Any) -> dict[str, Any]:
    return {"request_id": "r-1", "truth": truth} | more


def test_a_value_is_of_the_one_row_and_a_list_is_of_each() -> None:
    rows = read_labels([item({"y": 3.5, "grade": ["good", None], "ok": True}, model="depth")])
    assert [(each["request_id"], each["model"]) for each in rows] == [("r-1", "depth")] * 3
    assert {each["output"]: each["truths"] for each in rows} == {
        "y": [3.5], "grade": ["good", None], "ok": [True],
    }  # fmt: skip


def test_vectors_are_named_as_the_log_names_them() -> None:
    rows = read_labels([item({"y": [[1.0, 2.0], [3.0, None]]}, model=None)])
    assert {each["output"]: each["truths"] for each in rows} == {"y[0]": [1.0, 3.0], "y[1]": [2.0, None]}
    assert {each["model"] for each in rows} == {""}


def test_of_a_text_what_the_log_keeps() -> None:
    (row,) = read_labels([item({"y": "x" * 100 + "\0"})])
    assert row["truths"] == ["x" * 64]
    assert read_labels([item({"y": "a\0b"})])[0]["truths"] == ["a\ufffdb"]


def test_arrays_become_lists() -> None:
    plain = plain_label(item({"y": np.float32(0.5), "z": np.array([[1, 2]]), "t": [np.int64(3), None]}))
    assert plain["truth"] == {"y": 0.5, "z": [[1, 2]], "t": [3, None]}
    assert plain_label({"request_id": "r"}) == {"request_id": "r"}


def test_batches_are_whole() -> None:
    items: list[dict[str, Any]] = [{"n": number} for number in range(5)]
    assert [len(some) for some in batched(iter(items), 2)] == [2, 2, 1]
    assert list(batched(iter([]), 2)) == []


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"truth": {"y": 1}}, "request_id"),
        ({"request_id": "a b", "truth": {"y": 1}}, "request_id"),
        ({"request_id": "x" * 65, "truth": {"y": 1}}, "request_id"),
        ({"request_id": 3, "truth": {"y": 1}}, "request_id"),
        (item({}), "truth"),
        (item(None), "truth"),
        (item([1]), "truth"),
        (item({"y": 1}, colour="red"), "colour"),
        (item({"": 1}), "truth"),
        (item({"y\n": 1}), "truth"),
        (item({"y" * 201: 1}), "truth"),
        (item({3: 1}), "truth"),
        (item({"y": []}), "truth.y"),
        (item({"y": [0] * 10_001}), "truth.y"),
        (item({"y": float("nan")}), "truth.y"),
        (item({"y": 1e31}), "truth.y"),
        (item({"y": {"a": 1}}), "truth.y"),
        (item({"y": [[1], [1, 2]]}), "truth.y"),
        (item({"y": [[1], 2]}), "truth.y"),
        (item({"y": [[]]}), "truth.y"),
        (item({"y": [[0] * 101]}), "truth.y"),
        (item({f"y{number}": 1 for number in range(101)}), "truth"),
    ],
)
def test_what_is_no_ground_truth_is_named(stated: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_labels([item({"y": 1}), stated])
    assert caught.value.fields["field"] == f"ground_truths[1].{field}"
    assert caught.value.remedy


def test_a_models_name_is_safe() -> None:
    with pytest.raises(InvalidName):
        read_labels([item({"y": 1}, model="../x")])


@pytest.mark.parametrize("count", [0, MOST_AT_ONCE + 1])
def test_a_call_holds_so_many(count: int) -> None:
    with pytest.raises(InvalidInput, match="ground_truths"):
        read_labels([item({"y": 1})] * count)
