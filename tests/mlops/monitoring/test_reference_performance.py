"""How right a version is beside its reference: pairs of the reference, and the figures of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from mlops.entities import PerformanceChange, Verdict
from mlops.monitoring.reference_performance import changes, reference_pairs
from mlops.monitoring.sample import Sample
from mlops.store.labelled import Pair

RANDOM = np.random.default_rng(11)
ROWS = np.arange(4)


def pairs(truths: Any, predictions: Any, requests: Any = None) -> list[Pair]:
    names = range(len(truths)) if requests is None else requests
    return [
        Pair(f"r-{name}", truth, given) for name, truth, given in zip(names, truths, predictions, strict=True)
    ]


def of(found: tuple[PerformanceChange, ...]) -> dict[tuple[str, str], PerformanceChange]:
    return {(each.output, each.metric): each for each in found}


def test_the_references_rows_are_paired() -> None:
    outputs = {"depth": np.array([1.5, np.nan, 3.0, 4.0]), "grade": np.array(["a", "b", "a", "c"])}
    truths = {"depth": np.array([1.0, 2.0, np.nan, 4.5]), "grade": np.array(["a", "a", None, "c"], object)}
    found = reference_pairs(Sample.of({"x": ROWS}, outputs, truths=truths))
    assert found == {
        "depth": [Pair("0", 1.0, 1.5), Pair("3", 4.5, 4.0)],
        "grade": [Pair("0", "a", "a"), Pair("1", "a", "b"), Pair("3", "c", "c")],
    }


def test_scores_are_the_class_of_the_greatest() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.8, 0.1, 0.1], [0.0, 0.1, 0.9], [0.3, np.nan, 0.2]])
    found = reference_pairs(Sample.of({"x": ROWS}, {"p": scores}, truths={"p": np.array([1, 0, 1, 0])}))
    assert found == {"p": [Pair("0", 1, 1), Pair("1", 0, 0), Pair("2", 1, 2)]}


@pytest.mark.parametrize("truths", [{}, {"other": ROWS}, {"y": np.full(4, np.nan)}])
def test_without_a_prediction_or_a_truth_there_is_no_pair(truths: dict[str, Any]) -> None:
    assert reference_pairs(Sample.of({"x": ROWS}, {"y": ROWS / 3}, truths=truths)) == {}


def test_numbers_that_are_further_off_are_worse_and_are_scikit_learns() -> None:
    truth, now = RANDOM.normal(10, 2, 500), RANDOM.normal(10, 2, 300)
    before = truth + RANDOM.normal(0, 0.1, 500)
    given = now + RANDOM.normal(0.4, 0.3, 300)
    found = of(changes({"y": pairs(truth, before)}, {"y": pairs(now, given, np.arange(300) // 3)}))
    assert {metric for _, metric in found} == {"mae", "rmse", "bias"}
    mae = found["y", "mae"]
    assert mae.reference == pytest.approx(metrics.mean_absolute_error(truth, before))
    assert mae.current == pytest.approx(metrics.mean_absolute_error(now, given))
    assert found["y", "rmse"].current == pytest.approx(metrics.root_mean_squared_error(now, given))
    assert (mae.reference_rows, mae.rows, mae.requests) == (500, 300, 100)
    assert 0 < mae.low < mae.current - mae.reference < mae.high
    assert {each.verdict for each in found.values()} == {Verdict.WORSE}


def test_the_same_is_unclear_and_fewer_errors_are_better() -> None:
    truth = RANDOM.integers(0, 3, 400).tolist()
    third = [value if RANDOM.random() < 0.66 else (value + 1) % 3 for value in truth]
    same = [value if RANDOM.random() < 0.66 else (value + 1) % 3 for value in truth]
    reference = {"c": pairs(truth, third)}
    assert of(changes(reference, {"c": pairs(truth, same)}))["c", "accuracy"].verdict is Verdict.UNCLEAR
    better = of(changes(reference, {"c": pairs(truth, truth)}))["c", "accuracy"]
    assert (better.current, better.verdict) == (1.0, Verdict.BETTER)
    assert better.reference == pytest.approx(metrics.accuracy_score(truth, third))


def test_truth_values_are_no_numbers() -> None:
    found = of(changes({"ok": pairs([True] * 9, [1] * 9)}, {"ok": pairs([True] * 9, [True] * 9)}))
    assert (found["ok", "accuracy"].reference, found["ok", "accuracy"].current) == (0.0, 1.0)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("reference", "window"),
    [
        ({}, {"y": pairs([1.0] * 5, [1.0] * 5)}),
        ({"y": pairs([1.0] * 5, [1.0] * 5)}, {}),
        ({"y": pairs([1.0] * 5, [1.0] * 5)}, {"y": []}),
        ({"y": pairs([1.5] * 5, [1.5] * 5)}, {"y": pairs(["a"] * 5, ["a"] * 5)}),
        ({"y": pairs([1.5] * 5, [1.5] * 5)}, {"y": pairs([1.5, 2.5], [1.5, 2.5], [0, 0])}),
    ],
    ids=["no reference", "no window", "no rows", "other kinds", "a single request"],
)
def test_what_cannot_be_compared_is_not(reference: dict[str, Any], window: dict[str, Any]) -> None:
    assert changes(reference, window) == ()
