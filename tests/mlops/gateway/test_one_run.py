"""A run and a comparison by the API: what they tell, and to whom."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from mlops.entities import RUN_KEY, USED_KEY, DriftReport
from mlops.errors import ArtifactNotFound, ServiceUnavailable
from mlops.platform import Platform
from mlops.tracking.curves import MetricCurves
from mlops.tracking.run_files import Content, RunFile

LogCurve = Callable[..., str]


class KnownFiles:
    """Artifacts that are said to be there."""

    def __init__(self, found: dict[str, bytes]) -> None:
        self.found = found

    def inside(self, workspace: Any, run_id: str, folder: str = "") -> list[RunFile]:
        return [RunFile(path, False, len(content)) for path, content in self.found.items()]

    def figures(self, workspace: Any, run_id: str) -> list[RunFile]:
        return [each for each in self.inside(workspace, run_id) if each.path.endswith(".png")]

    def read(self, workspace: Any, run_id: str, path: str, most_bytes: int = 0) -> Content:
        if path not in self.found:
            raise ArtifactNotFound("alpha", run_id, path)
        return Content(iter([self.found[path]]), len(self.found[path]))


@pytest.fixture
def files(platform: Platform) -> dict[str, bytes]:
    known = KnownFiles({"a/plot é.png": b"png", "page.html": b"<script>", "output.log": b"hello"})
    platform.run_facts._files = platform.run_facts._logs._files = known  # type: ignore[assignment]
    return known.found


def error_of(answer) -> tuple[int, str]:
    assert set(answer.json()) == {"error"}, answer.text
    return answer.status_code, answer.json()["error"]["type"]


def test_a_run_is_told_with_its_lineage(
    alpha: TestClient, add_run, log_curve: LogCurve, mlflow_database_url: str, serve, store
) -> None:
    run = log_curve([(0, 1000, 0.5)], workspace="alpha")
    tags = {"mlflow.source.git.commit": "c" * 40, USED_KEY + "h" * 32: "data/raw", RUN_KEY: f"r-{'1' * 32}"}
    add_run("alpha", run, {"loss": 0.5}, tags=tags, params={"lr": "1"})
    deployment = serve("alpha", "depth", "http://127.0.0.1:1", version=3)
    for name in (run, tags[RUN_KEY]):
        told = alpha.get(f"/api/runs/alpha/{name}").json()
        assert told["run"]["id"] == run
        assert told["run"]["params"] == {"lr": "1"}
        assert told["lineage"]["commit"] == "c" * 40
        assert told["lineage"]["versions"] == told["lineage"]["deployments"] == []
    made_by(mlflow_database_url, run)
    now = datetime.now(UTC)
    report = store.drift.ask("alpha", "depth", 3, now - timedelta(hours=1), now)
    assert alpha.get(f"/api/runs/alpha/{run}").json()["lineage"]["reports"] == [], "it is not made yet"
    store.drift.done(store.drift.claim().id, DriftReport(9, 9, 9, now, now, 3, ()))
    told = alpha.get(f"/api/runs/alpha/{run}").json()["lineage"]
    assert told["versions"] == [{"name": "depth", "version": 3, "aliases": ["champion"]}]
    assert [each["id"] for each in told["deployments"]] == [deployment]
    assert [each["id"] for each in told["reports"]] == [report.id]
    assert (told["data"][0]["path"], told["data"][0]["files"]) == ("data/raw", 7)


def made_by(url: str, run: str) -> None:
    """A model version of the run, and data that it used, as MLflow writes them down."""
    source = json.dumps({"path": "data/raw", "hash": "h" * 32, "remote": ""})
    profile = json.dumps({"size_bytes": 1000, "files": 7})
    id = uuid.uuid4().hex
    with psycopg.connect(url) as connection:
        for statement in (
            "INSERT INTO registered_models (workspace, name) VALUES ('alpha', 'depth')"
            " ON CONFLICT DO NOTHING",
            "DELETE FROM model_versions WHERE workspace = 'alpha' AND name = 'depth'",
            "INSERT INTO model_versions (workspace, name, version, run_id, current_stage)"
            f" VALUES ('alpha', 'depth', 3, '{run}', 'None')",
            "INSERT INTO registered_model_aliases (workspace, name, alias, version)"
            " VALUES ('alpha', 'depth', 'champion', 3) ON CONFLICT DO NOTHING",
        ):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type,"
            " dataset_source, dataset_profile)"
            " SELECT %s, experiment_id, 'data/raw', %s, 'dvc', %s, %s FROM runs WHERE run_uuid = %s",
            [id, "h" * 32, source, profile, run],
        )
        connection.execute(
            "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)"
            " VALUES (%s, 'DATASET', %s, 'RUN', %s)",
            [id, id, run],
        )


def test_series_come_for_a_stretch_and_compressed(alpha: TestClient, log_curve: LogCurve) -> None:
    run = log_curve([(i, 1000 * i, i / 10) for i in range(5000)], workspace="alpha")
    asked = {"metric": ["loss", "none"], "x": "time", "from": 1_000_000, "to": 1_002_000}
    answer = alpha.get(f"/api/runs/alpha/{run}/series", params=asked, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    told = answer.json()["series"]
    assert told["loss"] == {
        "total": 3, "steps": [1000, 1001, 1002], "times": [1_000_000, 1_001_000, 1_002_000],
        "values": [100.0, 100.1, 100.2],
    }  # fmt: skip
    assert told["none"] == {"total": 0, "steps": [], "times": [], "values": []}
    plain = alpha.get(f"/api/runs/alpha/{run}/series?metric=loss", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert 500 <= len(plain.json()["series"]["loss"]["steps"]) <= 1000


def test_a_question_that_cannot_be_read_is_refused(alpha: TestClient, log_curve: LogCurve) -> None:
    run = log_curve([(0, 0, 1.0)], workspace="alpha")
    for asked in (
        "", "metric=loss&x=place", "metric=loss&points=3", "metric=loss&points=2001", "metric=loss&from=x",
        "metric=loss&to=1e99", "&".join(f"metric={number}" for number in range(21)),
    ):  # fmt: skip
        assert error_of(alpha.get(f"/api/runs/alpha/{run}/series?{asked}")) == (422, "InvalidInput"), asked


def test_another_projects_run_is_out_of_reach(alpha: TestClient, admin: TestClient, add_run, files) -> None:
    add_run("beta", "b1")
    for below in ("", "/series?metric=loss", "/artifacts", "/artifact?path=page.html", "/log"):
        assert error_of(alpha.get(f"/api/runs/beta/b1{below}")) == (403, "Forbidden")
        assert error_of(alpha.get(f"/api/runs/alpha/b1{below}")) == (404, "RunNotFound")
        assert error_of(admin.get(f"/api/runs/gamma/b1{below}")) == (404, "ProjectNotFound")
    assert admin.get("/api/runs/beta/b1").json()["run"]["project"] == "beta"
    assert error_of(alpha.get("/api/compare?run=beta/b1")) == (403, "Forbidden")


def test_artifacts_are_shown_or_saved_and_never_run(alpha: TestClient, add_run, files) -> None:
    add_run("alpha", "a1")
    told = alpha.get("/api/runs/alpha/a1/artifacts").json()["files"]
    assert told[0] == {"path": "a/plot é.png", "is_folder": False, "size_bytes": 3}
    shown = alpha.get("/api/runs/alpha/a1/artifact", params={"path": "a/plot é.png"})
    assert (shown.content, shown.headers["content-type"]) == (b"png", "image/png")
    assert shown.headers["content-disposition"] == "inline; filename*=UTF-8''plot%20%C3%A9.png"
    saved = alpha.get("/api/runs/alpha/a1/artifact", params={"path": "page.html"})
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"].startswith("attachment;")
    for answer in (shown, saved):
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert error_of(alpha.get("/api/runs/alpha/a1/artifact?path=none")) == (404, "ArtifactNotFound")
    assert error_of(alpha.get("/api/runs/alpha/a1/artifact")) == (422, "InvalidInput")
    assert alpha.get("/api/runs/alpha/a1/log").json()["text"] == "hello"
    assert error_of(alpha.get("/api/runs/alpha/a1/log?name=page.html")) == (404, "ArtifactNotFound")


def test_what_no_server_tells_is_named(alpha: TestClient, add_run, platform: Platform) -> None:
    add_run("alpha", "a1")
    assert error_of(alpha.get("/api/runs/alpha/a1/artifacts")) == (503, "ServiceUnavailable")
    assert alpha.get("/api/runs/alpha/a1/log").json()["names"] == []
    platform.run_facts._curves = None
    assert error_of(alpha.get("/api/runs/alpha/a1/series?metric=loss")) == (503, "ServiceUnavailable")
    platform.run_facts._curves = MetricCurves("postgresql://mlops:x@127.0.0.1:1/mlflow")
    assert error_of(alpha.get("/api/runs/alpha/a1/series?metric=loss")) == (503, "ServiceUnavailable")
    with pytest.raises(ServiceUnavailable):
        platform.run_facts.series("alpha", "a1", ["loss"])


def test_runs_are_compared(alpha: TestClient, admin: TestClient, add_run) -> None:
    add_run("alpha", "a1", {"loss": 0.5, "odd": 1.0}, params={"lr": "1", "seed": "0"})
    add_run("alpha", "a2", {"loss": 0.25, "odd": float("inf")}, params={"lr": "2", "seed": "0"})
    add_run("beta", "b1", {"loss": 0.75})
    asked = {"run": ["alpha/a1", "alpha/a2"], "baseline": "alpha/a1", "higher": "odd"}
    told = alpha.get("/api/compare", params=asked).json()
    assert [run["id"] for run in told["runs"]] == ["a1", "a2"]
    assert told["baseline"] == 0
    assert told["params"][0] == {"name": "lr", "values": ["1", "2"], "differs": True}
    assert told["metrics"][0] == {
        "name": "loss", "higher_is_better": False, "figures": [
            {"last": 0.5, "best": 0.5, "difference": None, "is_best": False},
            {"last": 0.25, "best": 0.25, "difference": -0.25, "is_best": True},
        ],
    }  # fmt: skip
    assert told["metrics"][1]["figures"][1]["difference"] == "Infinity"
    assert len(admin.get("/api/compare?run=alpha/a1&run=beta/b1").json()["runs"]) == 2


def test_a_comparison_that_cannot_be_made_is_refused(alpha: TestClient, add_run) -> None:
    add_run("alpha", "a1")
    many = "&".join(f"run=alpha/{number}" for number in range(21))
    for asked, error in {
        "": (422, "InvalidInput"), "run=alpha": (422, "InvalidInput"), "run=alpha/no": (404, "RunNotFound"),
        "run=alpha/a1&baseline=alpha/a2": (422, "InvalidInput"), "run=..%2Fx/1": (422, "InvalidName"),
        "run=alpha/a%00b": (404, "RunNotFound"), "run=alpha/a1&of=first": (422, "InvalidInput"),
        many: (422, "InvalidInput"),
    }.items():  # fmt: skip
        assert error_of(alpha.get(f"/api/compare?{asked}")) == error, asked
