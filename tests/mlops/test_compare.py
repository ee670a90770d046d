"""Runs side by side and the best of them, as lists and as data frames."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from mlops.entities import Run, RunStatus
from mlops.errors import InvalidInput, MetricNotFound, RunNotFound
from mlops.tracking.compare import best, compare, direction
from mlops.tracking.memory import MemoryTracker
from mlops.tracking.results import Runs


@pytest.fixture
def tracker() -> MemoryTracker:
    return MemoryTracker(project="alpha")


def finished(
    tracker: MemoryTracker,
    metrics: dict[str, float],
    params: dict[str, object] | None = None,
    status: RunStatus = RunStatus.FINISHED,
) -> Run:
    run = tracker.start_run(None, {}, None)
    tracker.log(run.id, metrics=metrics, params=params)
    return tracker.end_run(run.id, status)


def test_params_and_metrics_stand_side_by_side(tracker: MemoryTracker) -> None:
    a = finished(tracker, {"val_loss": 0.5, "acc": 0.9}, {"rate": 0.1, "net": "small"})
    b = finished(tracker, {"val_loss": 0.4, "acc": 0.8, "size": 3}, {"rate": 0.2, "net": "small", "seed": 1})
    both = compare(tracker, [a.id, b.id])
    assert [run.id for run in both.runs] == [a.id, b.id]
    assert both.params["net"] == {a.key: "small", b.key: "small"}
    assert both.differing == {"rate": {a.key: "0.1", b.key: "0.2"}, "seed": {b.key: "1"}}
    assert both.metrics["size"] == {b.key: 3.0}
    assert both.best == {"acc": a.key, "val_loss": b.key}


def test_a_direction_that_is_given_counts(tracker: MemoryTracker) -> None:
    a, b = finished(tracker, {"acc": 1, "size": 1}), finished(tracker, {"acc": 2, "size": 2})
    both = compare(tracker, [a.id, b.id], {"acc": False, "size": True})
    assert both.best == {"acc": a.key, "size": b.key}


def test_nan_is_best_in_nothing_and_the_first_of_equals_is(tracker: MemoryTracker) -> None:
    runs = [finished(tracker, {"loss": value, "err": math.nan}) for value in (math.nan, 2.0, 2.0)]
    assert compare(tracker, [run.id for run in runs]).best == {"loss": runs[1].key}


def test_a_comparison_is_a_data_frame(tracker: MemoryTracker) -> None:
    a = finished(tracker, {"loss": 0.5, "acc": 0.7}, {"rate": 0.1, "net": "small"})
    b = finished(tracker, {"loss": 0.4}, {"rate": 0.2, "net": "small"})
    frame = compare(tracker, [a.id, b.id]).frame()
    assert list(frame.index) == [a.key, b.key]
    assert list(frame.columns) == ["name", "status", "params.rate", "metrics.acc", "metrics.loss", "best"]
    assert frame["best"].tolist() == ["acc", "loss"]
    assert math.isnan(frame["metrics.acc"].iloc[1])
    assert "params.net" in compare(tracker, [a.id, b.id]).frame(all_params=True)


def test_what_cannot_be_compared_is_named(tracker: MemoryTracker) -> None:
    a, b = finished(tracker, {"loss": 1}), finished(tracker, {"loss": 2})
    for ids in ([], [a.id], [a.id, b.id, a.id], a.id):
        with pytest.raises(InvalidInput) as caught:
            compare(tracker, ids)
        assert caught.value.field == "ids"
    with pytest.raises(RunNotFound):
        compare(tracker, [a.id, "0" * 32])
    with pytest.raises(InvalidInput) as caught:
        compare(tracker, [a.id, b.id], {"lost": True})
    assert caught.value.field == "higher_is_better"


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("loss", False),
        ("val/loss", False),
        ("trainLoss", False),
        ("eval_rmse", False),
        ("val_accuracy", True),
        ("test.F1", True),
        ("AUC", True),
        ("r2", True),
        ("accuracy_error", None),
        ("epoch", None),
        ("glossary", None),
    ],
)
def test_a_metrics_name_tells_its_direction(metric: str, higher: bool | None) -> None:
    assert direction(metric) is higher


def test_the_best_run_is_smallest_or_largest(tracker: MemoryTracker) -> None:
    runs = [finished(tracker, {"loss": value}) for value in (3.0, 1.0, 2.0)]
    assert best(tracker, "alpha", "loss", "min").id == runs[1].id
    assert best(tracker, "alpha", "loss", "max").id == runs[0].id
    assert best(tracker, "alpha", "loss", "min", "metrics.loss > 1").id == runs[2].id


def test_no_run_that_failed_or_goes_on_is_best(tracker: MemoryTracker) -> None:
    finished(tracker, {"loss": 1.0}, status=RunStatus.FAILED)
    tracker.log(tracker.start_run(None, {}, None).id, metrics={"loss": 0.0})
    with pytest.raises(MetricNotFound):
        best(tracker, "alpha", "loss", "min")
    only = finished(tracker, {"loss": 5.0})
    assert best(tracker, "alpha", "loss", "min").id == only.id


def test_an_order_by_that_cannot_be_read_is_told_from_the_filter(tracker: MemoryTracker) -> None:
    with pytest.raises(InvalidInput) as caught:
        best(tracker, "alpha", "loss", "min", "what")
    assert caught.value.field == "filter"
    with pytest.raises(InvalidInput) as caught:
        best(tracker, "alpha", "loss", "least")  # type: ignore[arg-type]
    assert caught.value.field == "mode"
    with pytest.raises(InvalidInput):
        best(tracker, "alpha", "lo`ss", "min")


def test_runs_are_a_data_frame(tracker: MemoryTracker) -> None:
    a = finished(tracker, {"loss": 1.0}, {"rate": 0.1})
    b = tracker.start_run("second", {"kind": "x"}, None)
    frame = tracker.search_runs().frame()
    assert list(frame.columns) == [
        *("key", "mlflow_id", "name", "status", "started_at", "ended_at"),
        *("metrics.loss", "params.rate", "tags.kind"),
    ]
    assert frame["key"].tolist() == [b.key, a.key]
    assert frame["status"].tolist() == ["RUNNING", "FINISHED"]
    assert frame["started_at"].tolist() == [b.started_at, a.started_at]
    assert frame["ended_at"].isna().tolist() == [True, False]
    empty = Runs().frame()
    assert len(empty) == 0
    assert list(empty.columns) == list(frame.columns[:6])


def test_pandas_is_imported_when_a_frame_is_asked_for_and_not_before() -> None:
    program = (
        "import sys, mlops.client; from mlops.tracking.results import Runs\n"
        "assert 'pandas' not in sys.modules, 'early'\n"
        "Runs().frame(); assert 'pandas' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
