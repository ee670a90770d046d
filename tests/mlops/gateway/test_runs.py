"""Metric histories by the API, from a database that MLflow made."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from mlops.platform import Platform
from mlops.tracking.curves import MetricCurves

LogCurve = Callable[..., str]


def path(run: str, project: str = "alpha") -> str:
    return f"/api/projects/{project}/runs/{run}/metric-history"


def error_of(answer) -> tuple[int, str]:
    assert set(answer.json()) == {"error"}
    return answer.status_code, answer.json()["error"]["type"]


def test_a_metric_comes_in_columns(alpha: TestClient, log_curve: LogCurve) -> None:
    key = f"r-{uuid.uuid4().hex}"
    rows = [(0, 1000, 0.5), (2**40, 2001, math.nan)]
    run = log_curve(rows, metric="train/loss é", key=key, workspace="alpha")
    for name in (run, key):
        answer = alpha.get(path(name), params={"key": "train/loss é"})
        assert answer.status_code == 200
        assert answer.json() == {
            "total": 2,
            "steps": [0, 2**40],
            "times": [1000, 2001],
            "values": [0.5, "NaN"],
        }


def test_a_long_run_is_thinned_out(alpha: TestClient, log_curve: LogCurve) -> None:
    run = log_curve([(i, i, {700: -9.0}.get(i, i / 1e4)) for i in range(3000)], workspace="alpha")
    found = alpha.get(path(run), params={"key": "loss", "max_points": 10}).json()
    assert found["total"] == 3000
    assert len(found["steps"]) == len(found["times"]) == len(found["values"]) <= 10
    assert (found["steps"][0], found["steps"][-1], min(found["values"])) == (0, 2999, -9.0)
    assert 500 <= len(alpha.get(path(run), params={"key": "loss"}).json()["steps"]) <= 1000


def test_what_is_not_there_is_named(alpha: TestClient, admin: TestClient, log_curve: LogCurve) -> None:
    key = f"r-{uuid.uuid4().hex}"
    run = log_curve([(0, 0, 1.0)], key=key, workspace="alpha")
    log_curve([(0, 0, 1.0)], workspace="beta")
    assert error_of(alpha.get(path(run), params={"key": "none"})) == (404, "MetricNotFound")
    assert error_of(alpha.get(path("0" * 32), params={"key": "loss"})) == (404, "RunNotFound")
    assert error_of(alpha.get(path("a%00b"), params={"key": "loss"})) == (404, "RunNotFound")
    assert error_of(alpha.get(path(run), params={"key": "a\0b"})) == (404, "MetricNotFound")
    assert error_of(admin.get(path(run, "gamma"), params={"key": "loss"})) == (404, "ProjectNotFound")


def test_a_run_of_another_project_or_a_deleted_one_is_not_found(
    alpha: TestClient, admin: TestClient, log_curve: LogCurve, mlflow_database
) -> None:
    key = f"r-{uuid.uuid4().hex}"
    run = log_curve([(0, 0, 1.0)], key=key, workspace="beta")
    for name in (run, key):
        for caller in (alpha, admin):
            assert error_of(caller.get(path(name), params={"key": "loss"})) == (404, "RunNotFound")
        assert error_of(alpha.get(path(name, "beta"), params={"key": "loss"})) == (403, "Forbidden")
        assert admin.get(path(name, "beta"), params={"key": "loss"}).json()["values"] == [1.0]
    gone = log_curve([(0, 0, 1.0)], workspace="alpha")
    assert alpha.get(path(gone), params={"key": "loss"}).status_code == 200
    mlflow_database.delete_run(gone)
    assert error_of(alpha.get(path(gone), params={"key": "loss"})) == (404, "RunNotFound")


def test_bad_questions_are_refused(alpha: TestClient, log_curve: LogCurve, subtests: pytest.Subtests) -> None:
    run = log_curve([(0, 0, 1.0)], workspace="alpha")
    for asked in [{}, *({"key": "loss", "max_points": n} for n in (-1, 3, 10_001, "x", 1e99))]:
        with subtests.test(asked=asked):
            answer = alpha.get(path(run), params=asked)
            assert error_of(answer) == (422, "InvalidInput")
            assert "max_points" in answer.text or "key" in answer.text


def test_a_dead_database_and_an_mlflow_elsewhere_are_unavailable(
    alpha: TestClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for curves, said in (
        (MetricCurves("postgresql://mlops:x@127.0.0.1:1/mlflow"), "postgres does not answer"),
        (None, "MLOPS_MLFLOW_URI"),
    ):
        monkeypatch.setattr(platform, "_curves", curves)
        answer = alpha.get(path("0" * 32), params={"key": "loss"})
        assert error_of(answer) == (503, "ServiceUnavailable")
        assert said in answer.json()["error"]["message"]
