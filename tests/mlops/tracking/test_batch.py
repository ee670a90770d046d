"""Batches: whatever goes in, each request is within MLflow's limits and says the same."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.tracking.batch import Batch, body
from mlops.tracking.codec import Points

TEXT = st.text(max_size=30)
POINTS = st.builds(
    lambda values, time_ms, step: Points(time_ms, step, tuple(values), tuple(values.values())),
    st.dictionaries(TEXT, st.floats(), max_size=8),
    st.integers(0, 2**62),
    st.integers(-(2**63), 2**63 - 1),
)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=8)


def requests(batch: Batch) -> list[dict[str, list[dict[str, object]]]]:
    made = []
    for items in batch.requests():
        sent = body("run", items)
        assert len(sent) <= 1_000_000
        found = json.loads(sent)
        assert found.pop("run_id") == "run"
        sizes = {kind: len(found.get(kind, [])) for kind in ("metrics", "params", "tags")}
        assert sizes["metrics"] <= 1000
        assert sizes["params"] <= 100
        assert sizes["tags"] <= 100
        assert 0 < sum(sizes.values()) <= 1000
        made.append(found)
    return made


def number(value: object) -> float:
    if isinstance(value, str):
        assert value in ("NaN", "Infinity", "-Infinity")
    return float(value)  # type: ignore[arg-type]


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


@given(points=st.lists(POINTS, max_size=10), texts=st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_what_goes_in_is_what_is_sent(
    points: list[Points], texts: list[tuple[dict[str, str], dict[str, str]]]
) -> None:
    batch = Batch()
    for each in points:
        batch.add_points(each)
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    for some_params, some_tags in texts:
        batch.add_texts(some_params, some_tags)
        params |= some_params
        tags |= some_tags
    made = requests(batch)
    expected = [(key, p.time_ms, p.step, v) for p in points for key, v in zip(p.keys, p.values, strict=True)]
    metrics = [metric for request in made for metric in request.get("metrics", [])]
    assert [(m["key"], m["timestamp"], m["step"]) for m in metrics] == [each[:3] for each in expected]
    assert all(same(number(m["value"]), e[3]) for m, e in zip(metrics, expected, strict=True))
    for kind, wanted in (("params", params), ("tags", tags)):
        assert {m["key"]: m["value"] for request in made for m in request.get(kind, [])} == wanted
    assert len(batch) == len(expected) + len(params) + len(tags)


@settings(max_examples=30, deadline=None)
@given(
    metrics=st.integers(0, 3000),
    params=st.integers(0, 350),
    tags=st.integers(0, 350),
    length=st.integers(0, 8000),
    character=st.sampled_from(["x", '"', "\\", "\n", "ü", "漢", "😀", "\x7f"]),
)
def test_the_limits_hold_for_any_amount(
    metrics: int, params: int, tags: int, length: int, character: str
) -> None:
    batch = Batch()
    keys = tuple(f"{'k' * 240}{index}" for index in range(metrics))
    batch.add_points(Points(1, 2, keys, tuple(range(metrics))))
    value = character * length
    batch.add_texts(
        {f"p{index}": value for index in range(params)}, {f"t{index}": value for index in range(tags)}
    )
    made = requests(batch)
    for kind, count in (("metrics", metrics), ("params", params), ("tags", tags)):
        assert sum(len(each.get(kind, [])) for each in made) == count
    assert all(each["value"] == value for request in made for each in request.get("tags", []))


def test_a_full_batch_says_so() -> None:
    batch = Batch()
    assert not batch.full
    batch.add_points(Points(1, 1, tuple(str(n) for n in range(999)), (0.0,) * 999))
    assert not batch.full
    batch.add_points(Points(1, 1, ("last",), (0.0,)))
    assert batch.full
