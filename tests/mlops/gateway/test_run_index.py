"""Runs over all projects by the API: pages, isolation, export, rebuild."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from mlops.entities import RunStatus
from mlops.store.indexed_runs import MetricSummary
from mlops.store.run_index import Progress
from mlops.store.store import Store

AddRun = Callable[..., object]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()["runs"]]


def error_of(answer) -> tuple[int, str]:
    assert set(answer.json()) == {"error"}
    return answer.status_code, answer.json()["error"]["type"]


@pytest.fixture
def three(add_run: AddRun, app: object) -> None:
    """Two runs of alpha, one of beta."""
    add_run("alpha", "a1", metrics={"loss": 0.5}, started_at=BEGIN, params={"lr": "1"}, tags={"stage": "x"})
    add_run("alpha", "a2", metrics={"loss": math.inf, "odd": math.nan}, started_at=BEGIN + timedelta(hours=1),
            status=RunStatus.RUNNING, name="lora")  # fmt: skip
    add_run("beta", "b1", metrics={"loss": 0.1}, started_at=BEGIN + timedelta(hours=2))


@pytest.mark.usefixtures("three")
def test_an_admin_sees_all_and_a_member_its_own(admin: TestClient, alpha: TestClient) -> None:
    assert ids(admin.get("/api/runs")) == ["b1", "a2", "a1"]
    assert ids(alpha.get("/api/runs")) == ["a2", "a1"]
    assert ids(alpha.get("/api/runs?sort=metric:loss")) == ["a1", "a2"]
    assert ids(alpha.get("/api/runs?sort=-metric:loss&sort=started")) == ["a2", "a1"]
    assert ids(alpha.get("/api/runs?project=alpha")) == ["a2", "a1"]
    assert ids(admin.get("/api/runs?project=beta&project=alpha&state=finished")) == ["b1", "a1"]
    for path in ("/api/runs", "/api/runs/metrics", "/api/runs/export"):
        for other in ("beta", "gamma"):
            assert error_of(alpha.get(f"{path}?project={other}")) == (403, "Forbidden")
            assert error_of(alpha.get(f"{path}?project=alpha&project={other}")) == (403, "Forbidden")
        assert error_of(admin.get(f"{path}?project=gamma")) == (404, "ProjectNotFound")
    assert alpha.get("/api/runs/metrics").json()["params"] == ["lr"]


@pytest.mark.usefixtures("three")
def test_a_run_comes_with_all_that_is_known(alpha: TestClient, store: Store) -> None:
    answer = alpha.get("/api/runs").json()
    assert (answer["next"], answer["indexed_at"]) == (None, None)
    running, first = answer["runs"]
    assert first | {"metrics": None} == {
        "id": "a1", "key": "a1", "project": "alpha", "name": "first", "experiment": "all",
        "status": "FINISHED", "started_at": "2026-01-01T00:00:00+00:00", "ended_at": None, "user": "",
        "url": "http://127.0.0.1:5000/#/experiments/7/runs/a1?workspace=alpha",
        "params": {"lr": "1"}, "tags": {"stage": "x"}, "metrics": None,
    }  # fmt: skip
    assert first["metrics"] == {
        "loss": {"last": 0.5, "min": 0.5, "max": 0.5, "step": 0, "time_ms": 0, "points": 2}
    }
    assert running["metrics"]["loss"]["last"] == "Infinity"
    assert running["metrics"]["odd"]["min"] == "NaN"
    store.run_index.finish(Progress("s", 1, {}, BEGIN))
    for path in ("/api/runs", "/api/runs/metrics"):
        assert alpha.get(path).json()["indexed_at"].startswith("2026-01-01T00:00:00")


@pytest.mark.usefixtures("three")
def test_each_project_of_an_mlflow_elsewhere_says_how_fresh_it_is(
    admin: TestClient, alpha: TestClient, store: Store
) -> None:
    store.freshness.read("alpha", "alpha", BEGIN + timedelta(hours=1))
    store.freshness.read("beta", "beta", BEGIN)
    store.freshness.failed("beta", "mlflow does not answer", is_whole=False)
    answer = admin.get("/api/runs").json()
    assert answer["indexed_at"].startswith("2026-01-01T00:00:00")
    assert [(each["project"], each["problem"]) for each in answer["polled"]] == [
        ("alpha", ""),
        ("beta", "mlflow does not answer"),
    ]
    answer = alpha.get("/api/runs").json()
    assert answer["indexed_at"].startswith("2026-01-01T01:00:00")
    assert [each["project"] for each in answer["polled"]] == ["alpha"], "beta's is not alpha's affair"
    schemas = admin.get("/openapi.json").json()["components"]["schemas"]
    assert "PolledProject" in schemas


@pytest.mark.usefixtures("three")
def test_pages_follow_each_other(admin: TestClient) -> None:
    for sort, wanted in (
        ("-started", ["b1", "a2", "a1"]), ("metric:loss.max", ["b1", "a1", "a2"]),
        (["-started", "metric:odd", "-metric:loss"], ["b1", "a2", "a1"]),
    ):  # fmt: skip
        found, cursor = [], None
        for _ in range(3):
            query = {"sort": sort, "limit": 1} | ({"cursor": cursor} if cursor else {})
            answer = admin.get("/api/runs", params=query)
            found += ids(answer)
            cursor = answer.json()["next"]
        assert found == wanted
        assert ids(admin.get("/api/runs", params={"sort": sort, "cursor": cursor})) == []


@pytest.mark.usefixtures("three")
def test_conditions_are_all_to_hold(admin: TestClient) -> None:
    for query, wanted in (
        ({"metric": ["loss<1", "loss>=0.5"]}, ["a1"]),
        ({"metric": "loss>1"}, ["a2"]),
        ({"metric": "odd>0"}, []),
        ({"tag": "stage=x"}, ["a1"]),
        ({"param": "lr"}, ["a1"]),
        ({"text": "LOR"}, ["a2"]),
        ({"since": "2026-01-01T01:00+00:00", "until": "2026-01-01T02:00+00:00"}, ["a2"]),
        ({"tag": "stage=' OR 1=1 --"}, []),
    ):
        assert ids(admin.get("/api/runs", params=query)) == wanted, query


def test_a_bad_question_is_named_with_a_remedy(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for query in [
        "state=asleep", "metric=loss", "metric=loss%3Cnan", "tag==1", "param=%00", "text=--", "sort=name",
        "sort=metric:a&sort=-metric:a", "sort=started&sort=metric:a&sort=metric:b&sort=metric:c",
        "since=x", "until=x", "limit=0", "limit=1001", "cursor=AAAA",
    ]:  # fmt: skip
        with subtests.test(query=query):
            for path in ("/api/runs", "/api/runs/export"):
                answer = alpha.get(f"{path}?{query}")
                assert error_of(answer) == (422, "InvalidInput")
                error = answer.json()["error"]
                assert error["fields"]["field"] == query.partition("=")[0]
                assert error["fields"]["value"]
                assert error["remedy"]


def test_a_bad_project_or_type_is_refused(admin: TestClient) -> None:
    assert error_of(admin.get("/api/runs?project=../x")) == (422, "InvalidName")
    assert error_of(admin.get("/api/runs?limit=x")) == (422, "InvalidInput")
    assert error_of(admin.get(f"/api/runs?text={'x' * 1001}")) == (422, "InvalidInput")


def test_nobody_else_is_told_anything(anonymous: TestClient) -> None:
    for path in ("/api/runs", "/api/runs/metrics", "/api/runs/export"):
        assert anonymous.get(path).status_code == 401
    assert anonymous.post("/api/runs/rebuild").status_code == 401


@pytest.mark.usefixtures("three")
def test_a_csv_has_a_column_for_each_metric_and_param(alpha: TestClient) -> None:
    answer = alpha.get("/api/runs/export")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="runs.csv"'
    running, first = csv.DictReader(io.StringIO(answer.text))
    assert (first["id"], first["param.lr"], first["metric.loss"], first["metric.odd"]) == (
        "a1",
        "1",
        "0.5",
        "",
    )
    assert (running["metric.loss.max"], running["metric.odd.min"], running["param.lr"]) == ("inf", "nan", "")
    assert "b1" not in answer.text


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(alpha: TestClient, add_run: AddRun, begin: str) -> None:
    evil = f'{begin}cmd|" /C calc"!A0'
    add_run(
        "alpha", name=evil, user=evil, experiment=evil,
        params={"p": evil, "less": "-0.5", "sum": "-1+1", evil: "1"},
        metrics={"loss": -1.5},
    )  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(alpha.get("/api/runs/export").text, newline=""))
    assert row["name"] == row["user"] == row["experiment"] == row["param.p"] == f"'{evil}"
    assert (row["param.less"], row["param.sum"], row["metric.loss"]) == ("-0.5", "'-1+1", "-1.5")
    assert not any(name.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for name in row)


@pytest.mark.usefixtures("three")
def test_an_export_as_json_is_what_pages_have(admin: TestClient) -> None:
    answer = admin.get("/api/runs/export?format=json&sort=metric:loss&limit=1")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == admin.get("/api/runs?sort=metric:loss").json()["runs"]
    assert admin.get("/api/runs/export?format=json&text=nothing").json() == []
    assert error_of(admin.get("/api/runs/export?format=xlsx")) == (422, "InvalidInput")


def test_a_long_export_has_every_run_once(alpha: TestClient, store: Store, add_run: AddRun) -> None:
    for number in range(3):
        add_run("alpha", f"run-{number}", metrics={"loss": 1.0}, started_at=BEGIN)
    many = [(f"many-{number:04}", MetricSummary(1.0, 1.0, 1.0)) for number in range(1200)]
    first = next(store.runs.stream(_all()))
    from dataclasses import replace

    store.run_index.put([replace(first, id=id, metrics={"loss": metric}) for id, metric in many])
    for query in ("", "&sort=metric:loss"):
        found = [run["id"] for run in alpha.get(f"/api/runs/export?format=json{query}").json()]
        assert len(found) == len(set(found)) == 1203
    assert len(alpha.get("/api/runs/export").text.splitlines()) == 1204


def _all():
    from mlops.store.run_query import RunQuery

    return RunQuery()


def test_an_admin_has_the_index_rebuilt(admin: TestClient, alpha: TestClient, store: Store) -> None:
    assert error_of(alpha.post("/api/runs/rebuild")) == (403, "Forbidden")
    answer = admin.post("/api/runs/rebuild")
    assert answer.status_code == 202
    asked = store.run_index.progress().rebuild_asked_at
    assert asked is not None
    assert datetime.fromisoformat(answer.json()["asked_at"]) == asked
    assert store.audit.latest(1)[0].action == "rebuild index of runs"


@pytest.mark.usefixtures("three")
def test_names_are_those_of_the_projects(admin: TestClient) -> None:
    found = admin.get("/api/runs/metrics").json()
    assert found == {"metrics": ["loss", "odd"], "params": ["lr"], "tags": ["stage"], "indexed_at": None}
    assert admin.get("/api/runs/metrics?project=beta").json()["metrics"] == ["loss"]
    assert admin.get("/api/runs/metrics?project=beta").json()["params"] == []


def test_a_dead_database_is_unavailable(alpha: TestClient, platform, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha.get("/api/me")
    dead = Store("postgresql://mlops:x@127.0.0.1:1/mlops")
    monkeypatch.setattr(platform.runs, "_store", dead)
    for path in ("/api/runs", "/api/runs/metrics", "/api/runs/export"):
        assert error_of(alpha.get(path)) == (503, "ServiceUnavailable")
