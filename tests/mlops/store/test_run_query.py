"""Queries for runs as people write them, and cursors."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime

import pytest

from mlops.entities import RunStatus
from mlops.errors import InvalidInput, InvalidName
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.run_query import MetricRange, Of, RunQuery, RunSort


def cursor_of(told: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode()


def test_nothing_asked_is_the_newest_of_all() -> None:
    query = RunQuery.of()
    assert query == RunQuery()
    assert query.order == (RunSort(descending=True),)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("loss<0.1", MetricRange("loss", Of.LAST, "<", 0.1)),
        ("val loss.min >= -2e-3", MetricRange("val loss", Of.MIN, ">=", -0.002)),
        ("a<b.max=inf", MetricRange("a<b", Of.MAX, "=", math.inf)),
        ("loss.min.last<=1", MetricRange("loss.min", Of.LAST, "<=", 1.0)),
        ("system/gpu>5", MetricRange("system/gpu", Of.LAST, ">", 5.0)),
    ],
)
def test_a_range_of_a_metric_is_read(text: str, wanted: MetricRange) -> None:
    assert RunQuery.of(metric=[text]).metrics == (wanted,)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("started", RunSort(descending=False)),
        ("-started", RunSort()),
        ("metric:loss", RunSort("loss", Of.LAST, False)),
        ("-metric:a:b.max", RunSort("a:b", Of.MAX, True)),
    ],
)
def test_an_order_is_read(text: str, wanted: RunSort) -> None:
    assert RunQuery.of(sort=[text]).order == (wanted,)


def test_an_order_has_several_keys() -> None:
    order = RunQuery.of(sort=["-metric:acc", "metric:acc.min", "", "started"]).order
    assert [str(sort) for sort in order] == ["-metric:acc", "metric:acc.min", "started"]


def test_tags_states_and_words_are_read() -> None:
    query = RunQuery.of(
        tag=["a=1=2", "b", "c="], param=["lr=0.1"], state=["running", "FAILED"], text="É_x-ß é"
    )
    assert query.tags == (("a", "1=2"), ("b", None), ("c", ""))
    assert query.params == (("lr", "0.1"),)
    assert query.states == (RunStatus.RUNNING, RunStatus.FAILED)
    assert query.words == ("é", "x", "ss")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", ["asleep"]),
        ("since", "yesterday"),
        ("until", "1 fortnight"),
        ("tag", ["=1"]),
        ("tag", ["a\0=1"]),
        ("tag", ["a"] * 21),
        ("param", [""]),
        ("metric", ["loss"]),
        ("metric", ["loss<"]),
        ("metric", ["<1"]),
        ("metric", ["loss<much"]),
        ("metric", ["loss<nan"]),
        ("metric", ["loss<1\ud800"]),
        ("text", "--"),
        ("text", " ".join(map(str, range(30)))),
        ("sort", ["name"]),
        ("sort", ["started", "metric:"]),
        ("sort", ["metric:a", "-metric:a.last"]),
        ("sort", ["metric:a", "metric:b", "metric:c", "started"]),
        ("limit", 0),
        ("limit", 1001),
        ("cursor", "no cursor"),
        ("cursor", "AAAA"),
        *(
            ("cursor", cursor_of(told))
            for told in (
                ["-started"],
                [["-started"], [], "a"],
                [["-started"], ["2026-01-01"], "a"],
                [["-started"], [7], "a"],
                [["-started"], ["2026-01-01T00:00:00+00:00"], "a\0"],
                [["-started"], [None], "a"],
                7,
            )
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_a_remedy(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        RunQuery.of(**{field: value})
    assert caught.value.fields["field"] == field
    assert caught.value.fields["value"]
    assert caught.value.remedy


def test_a_project_must_be_a_name() -> None:
    with pytest.raises(InvalidName):
        RunQuery.of(project=["../a"])


@pytest.mark.parametrize("last", [0.1, -math.inf, math.inf, 5e-324])
def test_a_cursor_goes_on_where_it_was_made(last: float) -> None:
    run = IndexedRun(
        "abc", "alpha", "n", "e", RunStatus.FINISHED, datetime(2026, 1, 1, 0, 0, 0, 123456, UTC),
        metrics={"loss": MetricSummary(last, 0, 0)},
    )  # fmt: skip
    for sort, values in (
        (["started"], (run.started_at,)), (["-metric:loss"], (last,)),
        (["started", "metric:loss", "-metric:none"], (run.started_at, last, None)),
    ):  # fmt: skip
        query = RunQuery.of(sort=sort)
        cursor = query.cursor(query.start_after(run))
        begin = RunQuery.of(sort=sort, cursor=cursor).begin
        assert begin is not None
        assert (begin.values, begin.id) == (values, "abc")
        for other in (["metric:other"], ["metric:other", *sort[1:]], [*sort, "metric:other"][1:]):
            with pytest.raises(InvalidInput, match="another order"):
                RunQuery.of(sort=other, cursor=cursor)
