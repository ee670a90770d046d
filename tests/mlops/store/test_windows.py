"""Spans of the inference log as columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from mlops.errors import InvalidInput
from mlops.store.store import Store

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def told(inputs: object, outputs: object = None) -> str:
    return json.dumps({"rows": 1, "inputs": inputs, "outputs": outputs or {}})


@pytest.fixture
def filled(store: Store, add_project, inference) -> Store:
    """Six inferences of alpha/depth over three days, of versions 3 and 4; others beside them."""
    add_project("alpha")
    add_project("beta")
    store.inferences.add(
        [
            inference(
                at=at(0), request_id="a", features=told({"x": [1, 2], "s": ["u", None]}, {"y": [5, 6]})
            ),
            inference(at=at(1), request_id="b", version=4, features=told({"x": [3]}, {"z": [7]})),
            inference(at=at(24), request_id="c", features=told({"x": [4], "new": [True]})),
            inference(at=at(36), request_id="failed", status=503, features=None),
            inference(at=at(48), request_id="odd", features='{"inputs": [1], "outputs": {"y": 3}}'),
            inference(at=at(49), request_id="list", features="[1]"),
            inference(at=at(1), request_id="not", project="beta"),
            inference(at=at(1), request_id="not", model="wear"),
        ]
    )
    return store


def test_columns_are_of_one_length_and_newest_first(filled: Store) -> None:
    window = filled.inferences.window("alpha", "depth", at(0), at(72))
    assert window.rows == 4
    assert window.request_ids == ["c", "b", "a", "a"]
    assert window.versions == [3, 4, 3, 3]
    assert window.at == [at(24), at(1), at(0), at(0)]
    assert window.inputs == {
        "x": [4, 3, 1, 2], "new": [True, None, None, None], "s": [None, None, "u", None],
    }  # fmt: skip
    assert window.outputs == {"z": [None, 7, None, None], "y": [None, None, 5, 6]}


def test_the_window_holds_its_begin_and_not_its_end(filled: Store) -> None:
    assert filled.inferences.window("alpha", "depth", at(1), at(24)).request_ids == ["b"]
    assert filled.inferences.window("alpha", "depth", at(0.5), at(1)).rows == 0


def test_one_version_alone(filled: Store) -> None:
    assert filled.inferences.window("alpha", "depth", at(0), at(72), version=4).inputs == {"x": [3]}


def test_at_most_so_many_rows_are_read_the_newest(filled: Store) -> None:
    window = filled.inferences.window("alpha", "depth", at(0), at(30), most=3)
    assert window.request_ids == ["c", "b", "a"]
    assert window.inputs["s"] == [None, None, "u"]
    assert window.outputs["y"] == [None, None, 5]


def test_more_than_is_fetched_at_once(store: Store, add_project, inference) -> None:
    add_project("alpha")
    store.inferences.add(
        [
            inference(at=NOON + timedelta(seconds=number), features=told({"x": [number]}))
            for number in range(2500)
        ]
    )
    window = store.inferences.window("alpha", "depth", at(0), at(1))
    assert window.inputs["x"] == list(range(2499, -1, -1))


@pytest.mark.parametrize(
    ("wrong", "field"), [({"until": at(0)}, "until"), ({"until": at(-1)}, "until"), ({"most": 0}, "most")]
)
def test_windows_that_hold_nothing_are_refused(store: Store, wrong: dict[str, object], field: str) -> None:
    asked = {"since": at(0), "until": at(1)} | wrong
    with pytest.raises(InvalidInput) as caught:
        store.inferences.window("alpha", "depth", **asked)
    assert caught.value.field == field
    assert caught.value.remedy


def test_columns_that_disagree_in_length_are_brought_to_the_first_ones(
    store: Store, add_project, inference
) -> None:
    add_project("alpha")
    features = [told({"x": [1, 2], "short": [3], "long": [4, 5, 6], "no": 7}), told({"x": []}, {"y": [8]})]
    store.inferences.add([inference(at=at(number), features=each) for number, each in enumerate(features)])
    window = store.inferences.window("alpha", "depth", at(0), at(2))
    assert window.inputs == {"x": [None, 1, 2], "short": [None, 3, None], "long": [None, 4, 5]}
    assert window.outputs == {"y": [8, None, None]}
