"""Figures from sums: against scikit-learn, and intervals against what they promise."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from mlops.entities import Performance, Side, Verdict
from mlops.monitoring.performance import (
    METRICS,
    class_figures,
    differences,
    figures,
    is_worse,
    kinds,
)
from mlops.store.labelled import Confusion, Sums

BEGAN = datetime(2026, 11, 27, tzinfo=UTC)
UNTIL = BEGAN + timedelta(days=1)


def sums(truth: np.ndarray, given: np.ndarray, request: np.ndarray, **changed: Any) -> Sums:
    """As Postgres adds them up: by request, and then over all."""
    n = np.bincount(request).astype(float)
    hit, off = (truth == given).astype(float), np.abs(given - truth).astype(float)
    per = {
        name: np.bincount(request, values.astype(float))
        for name, values in {"hits": hit, "off": off, "square": off**2, "bias": given - truth}.items()
    }
    added = {}
    for name, values in per.items():
        suffix = {"hits": "hits_hits", "off": "off_off", "square": "square_square", "bias": "bias_bias"}[name]
        added |= {name: values.sum(), suffix: (values**2).sum(), f"{name}_n": (values * n).sum()}
    whole = all(float(each).is_integer() for each in (*truth, *given))
    stated = {
        "began": BEGAN, "version": 3, "side": Side.CHAMPION, "output": "y", "first": BEGAN, "last": BEGAN,
        "requests": len(n), "contradicted": 0, "unusable": 0, "rows": len(truth),
        "rows_rows": float((n**2).sum()), "classes": len(truth) if whole else 0, "numbers": len(truth),
        "truth": float(truth.sum()), "truth_truth": float((truth**2).sum()),
    }  # fmt: skip
    return Sums(**stated | added | changed)


def by_metric(found: list[Performance]) -> dict[str, Performance]:
    return {each.metric: each for each in found}


def test_numbers_are_scikit_learns() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(5, 2, 400)
    given = truth + random.normal(0.3, 0.5, 400)
    made = sums(truth, given, np.repeat(np.arange(100), 4))
    found = by_metric(figures([made], kinds([made]), UNTIL))
    assert set(found) == {"mae", "rmse", "bias", "r2"}
    assert found["mae"].value == pytest.approx(metrics.mean_absolute_error(truth, given))
    assert found["rmse"].value == pytest.approx(metrics.root_mean_squared_error(truth, given))
    assert found["bias"].value == pytest.approx((given - truth).mean())
    assert found["r2"].value == pytest.approx(metrics.r2_score(truth, given))
    for each in found.values():
        assert (each.rows, each.requests, each.since, each.until) == (400, 100, BEGAN, UNTIL)
        assert each.metric == "r2" or each.low < each.value < each.high


def test_classes_are_scikit_learns() -> None:
    random = np.random.default_rng(2)
    truth, given = random.integers(0, 4, 300), random.integers(0, 5, 300)
    made = sums(truth, given, np.arange(300))
    pairs = [
        Confusion(3, Side.CHAMPION, "y", int(a), int(b), int(((truth == a) & (given == b)).sum()))
        for a in range(4)
        for b in range(5)
    ]
    found = by_metric(
        [*figures([made], kinds([made]), UNTIL), *class_figures(pairs, [made], kinds([made]), UNTIL)]
    )
    assert found["accuracy"].value == pytest.approx(metrics.accuracy_score(truth, given))
    asked = {"average": "macro", "zero_division": 0.0}
    assert found["precision"].value == pytest.approx(metrics.precision_score(truth, given, **asked))
    assert found["recall"].value == pytest.approx(metrics.recall_score(truth, given, **asked))
    assert found["f1"].value == pytest.approx(metrics.f1_score(truth, given, **asked))
    assert found["mae"].value == pytest.approx(np.abs(truth - given).mean()), "whole numbers may be either"


def test_truth_values_are_no_numbers_of_the_same_size() -> None:
    pairs = [
        Confusion(3, Side.CHAMPION, "y", True, True, 3),
        Confusion(3, Side.CHAMPION, "y", "True", True, 1),
        Confusion(3, Side.CHAMPION, "y", 1, 1, 4),
    ]
    made = sums(np.ones(8), np.ones(8), np.arange(8), numbers=4)
    found = by_metric(class_figures(pairs, [made], kinds([made]), UNTIL))
    assert found["recall"].value == pytest.approx((1 + 0 + 1) / 3)


@pytest.mark.parametrize("rows_of_a_request", [1, 8])
def test_intervals_hold_what_they_promise(rows_of_a_request: int) -> None:
    """Of 600 samples of a known source 95 % have the truth in their interval, also where rows of a request
    are alike; were they taken for independent, far fewer had."""
    random = np.random.default_rng(3)
    held = {"accuracy": 0, "mae": 0, "rmse": 0, "bias": 0}
    true_mae, true_rmse = math.sqrt(0.5) * math.sqrt(2 / math.pi), math.sqrt(0.5)
    for _ in range(600):
        request = np.repeat(np.arange(80), rows_of_a_request)
        # Half of the variance is the request's.
        error = random.normal(0, 0.5, 80)[request] + random.normal(0, 0.5, len(request))
        truth = np.zeros(len(request)) + 0.5
        numbers = by_metric(figures(*_judged(sums(truth, truth + error, request)), UNTIL))
        right = (random.random(80) < 0.8)[request] & (random.random(len(request)) < 0.95)
        classes = by_metric(
            figures(*_judged(sums(np.ones(len(request)), right.astype(float), request)), UNTIL)
        )
        held["accuracy"] += classes["accuracy"].low <= 0.76 <= classes["accuracy"].high
        held["mae"] += numbers["mae"].low <= true_mae <= numbers["mae"].high
        held["rmse"] += numbers["rmse"].low <= true_rmse <= numbers["rmse"].high
        held["bias"] += numbers["bias"].low <= 0 <= numbers["bias"].high
    # 600 draws of 0.95 lie above 0.92 in all but a thousandth; linearized intervals are a little short.
    assert all(count >= 0.915 * 600 for count in held.values()), held


def _judged(made: Sums) -> tuple[list[Sums], dict[str, Any]]:
    return [made], kinds([made])


def test_all_right_is_not_surely_always_right() -> None:
    made = sums(np.ones(40), np.ones(40), np.repeat(np.arange(10), 4))
    accuracy = by_metric(figures([made], kinds([made]), UNTIL))["accuracy"]
    assert (accuracy.value, accuracy.high) == (1.0, pytest.approx(1.0))
    # Wilson's interval of 10 of 10, as statsmodels has it.
    assert accuracy.low == pytest.approx(0.7224672)


def test_of_one_request_nothing_is_sure() -> None:
    made = sums(np.array([0.5, 1.5]), np.array([1.0, 1.5]), np.zeros(2, dtype=int))
    found = by_metric(figures([made], kinds([made]), UNTIL))
    assert all(each.low is None and each.high is None for each in found.values())


def test_truths_that_are_all_the_same_explain_nothing() -> None:
    made = sums(np.full(5, 2.5), np.arange(5.0), np.arange(5))
    assert "r2" not in by_metric(figures([made], kinds([made]), UNTIL))


def test_what_is_neither_is_not_judged() -> None:
    made = sums(np.ones(8), np.ones(8), np.arange(8), numbers=4, classes=6)
    assert figures([made], kinds([made]), UNTIL) == []
    nothing = sums(np.ones(8), np.ones(8), np.arange(8), rows=0)
    assert figures([nothing], kinds([nothing]), UNTIL) == []
    assert not any(kinds([made])["y"])
    assert kinds([nothing]) == {}


def test_parts_of_the_time_end_where_the_next_begins() -> None:
    made = sums(np.ones(8), np.ones(8), np.arange(8))
    parts = figures([made], kinds([made]), UNTIL, timedelta(hours=1))
    assert {(each.since, each.until) for each in parts} == {(BEGAN, BEGAN + timedelta(hours=1))}
    assert figures([made], {}, UNTIL) == [], "an output that came meanwhile"


def row(metric: str, value: float, half: float | None = 0.01, **what: Any) -> Performance:
    low, high = (None, None) if half is None else (value - half, value + half)
    made = Performance(3, Side.CHAMPION, "y", metric, value, low, high, 100, 100, BEGAN, UNTIL)
    return replace(made, **what)


@pytest.mark.parametrize(
    ("metric", "champion", "canary", "verdict"),
    [
        ("accuracy", 0.90, 0.95, Verdict.BETTER),
        ("accuracy", 0.95, 0.90, Verdict.WORSE),
        ("accuracy", 0.90, 0.905, Verdict.UNCLEAR),
        ("mae", 0.5, 0.4, Verdict.BETTER),
        ("mae", 0.4, 0.5, Verdict.WORSE),
        ("bias", -0.5, 0.1, Verdict.BETTER),
        ("bias", 0.1, -0.5, Verdict.WORSE),
    ],
)
def test_beside_the_champion(metric: str, champion: float, canary: float, verdict: Verdict) -> None:
    (found,) = differences([row(metric, champion)], [row(metric, canary, version=4, side=Side.CANARY)])
    assert found.verdict is verdict
    assert found.low < canary - champion < found.high
    assert found.high - found.low == pytest.approx(2 * math.hypot(0.01, 0.01))


def test_without_an_interval_nothing_is_compared() -> None:
    assert differences([row("f1", 0.9, None)], [row("f1", 0.8, None)]) == []
    assert differences([row("mae", 0.9)], [row("mae", 0.8, output="z")]) == []


def test_worse_is_on_the_other_side_of_the_limit() -> None:
    assert is_worse("accuracy", 0.89, 0.9)
    assert not is_worse("accuracy", 0.9, 0.9)
    assert is_worse("mae", 0.11, 0.1)
    assert not is_worse("mae", 0.1, 0.1)
    assert is_worse("bias", -0.2, 0.1)
    assert not is_worse("bias", -0.05, 0.1)
    assert set(METRICS) == {"accuracy", "f1", "precision", "recall", "mae", "rmse", "bias", "r2"}
