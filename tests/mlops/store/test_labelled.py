"""Ground truths beside the inferences they are about, against the same worked out row by row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops import features
from mlops.entities import GroundTruthsLogged, Side
from mlops.errors import InvalidInput, ProjectNotFound, ServiceUnavailable
from mlops.store.ground_truths import MOST_EARLIER
from mlops.store.labelled import Effort, Span, Sums
from mlops.store.store import Store

NOW = datetime.now(UTC)
DAY = Span("alpha", "depth", NOW - timedelta(days=1), NOW + timedelta(days=1))

Log = Callable[..., None]


def truth(request_id: str, truths: list[Any], output: str = "y", model: str = "") -> dict[str, Any]:
    return {"request_id": request_id, "model": model, "output": output, "truths": truths}


@pytest.fixture
def log(store: Store, add_project, inference) -> Log:
    """Logs an inference of alpha/depth with these outputs, as a replica tells them."""
    add_project("alpha")

    def add(request_id: str, outputs: dict[str, Any], **fields: Any) -> None:
        arrays = {name: np.asarray(values) for name, values in outputs.items()}
        rows = len(next(iter(arrays.values())))
        told = features.told({"x": np.zeros(rows)}, arrays, 0.001)
        store.inferences.add([inference(request_id=request_id, features=told, **fields)])

    return add


def only(found: list[Sums]) -> Sums:
    (one,) = found
    return one


# -- logging ------------------------------------------------------------------------------------


def test_new_repeated_and_contradicting(store: Store, add_project) -> None:
    add_project("alpha")
    put = store.ground_truths.put
    assert put("alpha", [truth("r-1", [1.5]), truth("r-2", ["a", None])], "ann") == GroundTruthsLogged(
        2, 0, 0
    )
    assert put("alpha", [truth("r-1", [1.5]), truth("r-2", ["b", None])], "bob") == GroundTruthsLogged(
        0, 1, 1
    )
    (kept,) = store.ground_truths.of_request("alpha", "r-2")
    assert (kept.truths, kept.earlier, kept.logged_by) == (("b", None), (("a", None),), "bob")
    (same,) = store.ground_truths.of_request("alpha", "r-1")
    assert (same.truths, same.earlier, same.logged_by) == ((1.5,), (), "ann")


def test_of_two_in_one_call_the_last_counts(store: Store, add_project) -> None:
    add_project("alpha")
    told = store.ground_truths.put("alpha", [truth("r-1", [1]), truth("r-1", [2])], "ann")
    assert told == GroundTruthsLogged(1, 0, 0)
    assert store.ground_truths.of_request("alpha", "r-1")[0].truths == (2,)


def test_what_was_contradicted_is_kept_up_to_a_bound(store: Store, add_project) -> None:
    add_project("alpha")
    for value in range(MOST_EARLIER + 5):
        store.ground_truths.put("alpha", [truth("r-1", [value])], "ann")
    (kept,) = store.ground_truths.of_request("alpha", "r-1")
    assert kept.truths == (MOST_EARLIER + 4,)
    assert kept.earlier == tuple((value,) for value in range(4, MOST_EARLIER + 4))


def test_of_a_project_that_is_not_there_nothing_is_kept(store: Store) -> None:
    with pytest.raises(ProjectNotFound):
        store.ground_truths.put("ghost", [truth("r-1", [1])], "ann")
    assert store.ground_truths.put("ghost", [], "ann") == GroundTruthsLogged()
    assert store.ground_truths.of_request("ghost", "r-1") == []


def test_they_are_forgotten_as_the_inferences_are(store: Store, add_project, engine) -> None:
    add_project("alpha")
    add_project("beta")
    for project in ("alpha", "beta"):
        store.ground_truths.put(project, [truth("old", [1]), truth("new", [1])], "ann")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE ground_truths SET logged_at = now() - interval '3 days' WHERE request_id = 'old'"
        )
    assert store.ground_truths.forget({"alpha": 2.0, "beta": 5.0}) == 1
    assert store.ground_truths.of_request("alpha", "old") == []
    assert len(store.ground_truths.of_request("alpha", "new")) == 1
    assert len(store.ground_truths.of_request("beta", "old")) == 1


def test_they_go_with_their_project(store: Store, add_project) -> None:
    add_project("alpha")
    store.ground_truths.put("alpha", [truth("r-1", [1])], "ann")
    store.projects.remove("alpha")
    assert store.ground_truths.of_request("alpha", "r-1") == []


# -- comparing ----------------------------------------------------------------------------------


def test_early_or_late_they_are_compared(store: Store, log: Log) -> None:
    store.ground_truths.put("alpha", [truth("early", [1.0])], "ann")
    log("early", {"y": [1.5]})
    log("late", {"y": [2.0]})
    store.ground_truths.put("alpha", [truth("late", [4.0]), truth("never", [9.0])], "ann")
    found = only(store.labelled.sums(DAY))
    assert (found.requests, found.rows, found.unusable) == (2, 2, 0)
    assert (found.version, found.side, found.output) == (3, Side.CHAMPION, "y")
    assert found.off == pytest.approx(2.5)
    assert found.bias == pytest.approx(-1.5)
    assert found.square == pytest.approx(0.25 + 4.0)


def test_a_contradiction_counts_with_what_came_last(store: Store, log: Log) -> None:
    log("r-1", {"y": [1.5]})
    store.ground_truths.put("alpha", [truth("r-1", [9.0])], "ann")
    store.ground_truths.put("alpha", [truth("r-1", [1.5])], "bob")
    found = only(store.labelled.sums(DAY))
    assert (found.off, found.contradicted) == (0.0, 1)


def test_what_names_the_model_counts_before_what_names_none(store: Store, log: Log) -> None:
    log("r-1", {"y": [1.5]})
    log("r-1", {"y": [7.5]}, model="other")
    store.ground_truths.put("alpha", [truth("r-1", [1.5], model="depth"), truth("r-1", [8.0])], "ann")
    assert only(store.labelled.sums(DAY)).off == 0.0
    other = Span("alpha", "other", DAY.since, DAY.until)
    assert only(store.labelled.sums(other)).off == pytest.approx(0.5)


def test_projects_are_apart(store: Store, log: Log, add_project) -> None:
    add_project("beta")
    log("r-1", {"y": [1.5]})
    store.ground_truths.put("beta", [truth("r-1", [1.5])], "ann")
    assert store.labelled.sums(DAY) == []


def test_versions_sides_and_parts_of_the_time_are_apart(store: Store, log: Log) -> None:
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    for number, (version, side, at) in enumerate(
        [
            (3, "champion", hour),
            (4, "canary", hour),
            (3, "champion", hour - timedelta(hours=2)),
            (4, "shadow", hour),
        ]
    ):
        log(f"r-{number}", {"y": [1.0]}, version=version, side=side, at=at)
        store.ground_truths.put("alpha", [truth(f"r-{number}", [1.0 + number])], "ann")
    whole = {(each.version, each.side): each.off for each in store.labelled.sums(DAY)}
    assert whole == {(3, Side.CHAMPION): 2.0, (4, Side.CANARY): 1.0, (4, Side.SHADOW): 3.0}
    parts = [(each.began, each.version, each.side) for each in store.labelled.sums(DAY, 3600.0)]
    assert parts[0] == (hour - timedelta(hours=2), 3, Side.CHAMPION)
    assert {began for began, *_ in parts[1:]} == {hour}
    of_four = Span("alpha", "depth", DAY.since, DAY.until, version=4)
    assert {each.version for each in store.labelled.sums(of_four)} == {4}
    assert store.labelled.sums(Span("alpha", "depth", NOW + timedelta(hours=1), DAY.until)) == []


def test_scores_are_the_class_of_the_greatest(store: Store, log: Log) -> None:
    log("r-1", {"p": [[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]]})
    log("r-2", {"p": [[0.2, math.nan, 0.1]]})
    store.ground_truths.put("alpha", [truth("r-1", [1, 2], "p"), truth("r-2", [0], "p")], "ann")
    found = only(store.labelled.sums(DAY))
    assert (found.rows, found.hits, found.classes) == (2, 1.0, 2)
    assert found.unusable == 1, "which score is the greatest is not known where one is missing"
    told = [(each.truth, each.prediction, each.rows) for each in store.labelled.confusions(DAY)]
    assert told == [(1, 1, 1), (2, 0, 1)]
    # The places of a vector are outputs of their own, too.
    store.ground_truths.put("alpha", [truth("r-1", [0.2, 0.6], "p[0]")], "ann")
    place = next(each for each in store.labelled.sums(DAY) if each.output == "p[0]")
    assert place.off == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("truths", "output"),
    [([1.0, 2.0], "y"), ([1.0], "z"), ([None], "y"), ([0.5], "s")],
    ids=["other rows", "no such output", "not known", "a number for scores"],
)
def test_what_cannot_be_compared_is_counted(store: Store, log: Log, truths: list[Any], output: str) -> None:
    log("r-1", {"y": [1.5], "s": [[0.5, 0.5]]})
    store.ground_truths.put("alpha", [truth("r-1", truths, output)], "ann")
    found = only(store.labelled.sums(DAY))
    assert (found.requests, found.rows, found.unusable) == (0, 0, 1)


def test_texts_and_truth_values_are_classes(store: Store, log: Log) -> None:
    log("r-1", {"grade": ["good", "bad"], "ok": [True, False], "n": [3, 4]})
    known = {"grade": ["good", "good"], "ok": [True, True], "n": [3, 5]}
    store.ground_truths.put("alpha", [truth("r-1", each, name) for name, each in known.items()], "ann")
    found = {each.output: each for each in store.labelled.sums(DAY)}
    assert {name: (each.hits, each.classes, each.numbers) for name, each in found.items()} == {
        "grade": (1.0, 2, 0), "ok": (1.0, 2, 0), "n": (1.0, 2, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    "told",
    [
        '{"rows": "many", "outputs": {"y": [1.0]}}',
        '{"rows": 1e300, "outputs": {"y": [1.0]}}',
        '{"rows": 1, "outputs": {"y": {"0": 1.0}}}',
        '{"rows": 1, "outputs": [1.0]}',
        '{"rows": 1, "outputs": {"y": [[1.0]]}}',
        '{"rows": 1, "outputs": {"y": [1e300]}}',
        '{"outputs": {"y": [1.0]}}',
        '{"rows": 1, "outputs": {"y": []}}',
        '{"rows": 1, "outputs": {"y[0]": 3, "y[1]": ["a"], "y[x]": [1], "y[99999999999]": [1]}}',
        "[1]",
    ],
)
def test_what_a_replica_tells_wrongly_harms_no_other(store: Store, log: Log, inference, told: str) -> None:
    log("right", {"y": [1.5]})
    store.inferences.add([inference(request_id="wrong", features=told)])
    store.ground_truths.put("alpha", [truth("right", [1.0]), truth("wrong", [1])], "ann")
    found = only(store.labelled.sums(DAY))
    assert found.off == pytest.approx(0.5)
    assert store.labelled.sums(DAY, 60.0)
    store.labelled.confusions(DAY)


def test_no_output_is_a_pattern(store: Store, log: Log) -> None:
    log("r-1", {"a%": [[0.1, 0.9]], "ab": [[0.9, 0.1]], "a.": [[0.9, 0.1]]})
    store.ground_truths.put("alpha", [truth("r-1", [1], "a%")], "ann")
    assert only(store.labelled.sums(DAY)).hits == 1.0


def test_pairs_are_what_is_added_up(store: Store, log: Log) -> None:
    log("r-1", {"y": [1.5, 2.5]})
    store.ground_truths.put("alpha", [truth("r-1", [1.0, None])], "ann")
    (pair,) = store.labelled.pairs(DAY, "y")
    assert (pair.request_id, pair.truth, pair.prediction) == ("r-1", 1.0, 1.5)


def test_the_newest_are_compared(store: Store, log: Log) -> None:
    for number in range(5):
        log(f"r-{number}", {"y": [1.5]}, at=NOW - timedelta(minutes=number))
        store.ground_truths.put("alpha", [truth(f"r-{number}", [1.5 + number])], "ann")
    found = only(store.labelled.sums(DAY, effort=Effort(most=2)))
    assert (found.rows, found.off) == (2, 1.0)


def test_too_much_to_compare_is_said(store: Store, log: Log) -> None:
    for number in range(50):
        log(f"r-{number}", {"y": [1.5] * 32})
        store.ground_truths.put("alpha", [truth(f"r-{number}", [1.0] * 32)], "ann")
    with pytest.raises(InvalidInput) as caught:
        store.labelled.sums(DAY, effort=Effort(patience_s=0.001))
    assert caught.value.field == "window"
    assert "shorter" in caught.value.remedy


def test_without_postgres_that_is_said(database_url: str) -> None:
    nowhere = Store(database_url.replace(database_url.rsplit(":", 1)[1].split("/")[0], "1"))
    with pytest.raises(ServiceUnavailable):
        nowhere.labelled.sums(DAY)
    with pytest.raises(ServiceUnavailable):
        nowhere.ground_truths.put("alpha", [truth("r", [1])], "ann")
    nowhere.close()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked=st.integers(1, 300), columns=st.integers(1, 40), text=st.booleans())
def test_each_kept_row_is_compared_with_its_own_truth(
    store: Store, log: Log, engine, asked: int, columns: int, text: bool
) -> None:
    """Whatever the log keeps of a request: long texts and many columns make it keep fewer rows."""
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM inferences")
        connection.exec_driver_sql("DELETE FROM ground_truths")
    rows = np.arange(asked)
    wide = {
        f"c{number}": [f"{row}-{'z' * 60}" for row in rows] if text else rows + 0.5
        for number in range(columns)
    }
    log("r-1", {"y": rows, **wide})
    store.ground_truths.put("alpha", [truth("r-1", rows.tolist())], "ann")
    found = only(store.labelled.sums(DAY))
    assert found.rows == found.hits
    (logged,) = store.inferences.latest("alpha", "depth")
    assert found.rows == len(logged.features["outputs"]["y"]) > 0
    assert json.dumps(logged.features["outputs"]["y"]) == json.dumps(
        sorted(pair.truth for pair in store.labelled.pairs(DAY, "y"))
    )
