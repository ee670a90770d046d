"""The gateway, as a client of it sees it: HTTP with a token, our errors in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from mlops.entities import (
    Alert,
    AlertState,
    ColumnDrift,
    ColumnKind,
    DataVersion,
    Deployment,
    DeploymentState,
    DriftCheck,
    DriftJob,
    DriftTrigger,
    GroundTruth,
    GroundTruthsLogged,
    Inference,
    JobState,
    Performance,
    PerformanceChange,
    PerformanceDifference,
    PerformanceReport,
    Severity,
    Side,
    Verdict,
)
from mlops.errors import InvalidInput, MLOpsError, ServiceUnavailable

_BYTES = {"Content-Type": "application/octet-stream"}


class Gateway:
    """Calls to one gateway with one token. Every verb raises the error the gateway answered with, and
    `ServiceUnavailable` when it does not answer, for a little longer than it waits for a model."""

    def __init__(self, url: str, token: str, *, timeout_s: float = 65.0) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(timeout_s, connect=3.0),
            trust_env=False,
        )

    def request(self, method: str, path: str, body: object = None, *, request_id: str | None = None) -> Any:
        """Send JSON, or bytes as they are; return the JSON of the answer (None for an empty one)."""
        headers = {} if request_id is None else {"X-Request-Id": request_id}
        try:
            if isinstance(body, bytes):
                answer = self._http.request(method, path, content=body, headers=_BYTES | headers)
            else:
                answer = self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise ServiceUnavailable("gateway", f"{self.url}: {error}") from error
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(
                "body", body, f"is not JSON: {error}", remedy="Use lists and numbers."
            ) from error
        try:
            content = answer.json() if answer.content else None
        except ValueError as error:
            problem = f"{method} {path} answered {answer.status_code} with what is no JSON"
            raise ServiceUnavailable("gateway", problem) from error
        if answer.is_success:
            return content
        if not (isinstance(content, dict) and "error" in content):
            raise ServiceUnavailable("gateway", f"{method} {path} answered {answer.status_code}")
        raise MLOpsError.from_json(content)

    def download(self, path: str) -> Iterator[bytes]:
        """What is there, in pieces as they come."""
        try:
            with self._http.stream("GET", path) as answer:
                if answer.is_success:
                    yield from answer.iter_bytes()
                    return
        except httpx.HTTPError as error:
            raise ServiceUnavailable("gateway", f"{self.url}: {error}") from error
        self.request("GET", path)  # raises what the gateway says is wrong

    def deploy(
        self,
        project: str,
        model: str,
        version: int,
        replicas: int,
        *,
        most_replicas: int | None = None,
        side: Side = Side.CHAMPION,
        weight: int = 0,
        why: str = "",
    ) -> Deployment:
        """Ask for a version to be served."""
        body = {
            "version": version, "replicas": replicas, "most_replicas": most_replicas, "side": side.value,
            "weight": weight, "why": why,
        }  # fmt: skip
        return deployment_from_json(self.request("PUT", _deployment_path(project, model), body))

    def change(self, project: str, model: str, verb: str, **body: object) -> Deployment:
        """Promote, roll back or weigh what serves: `verb` is the route's last word."""
        path = f"{_deployment_path(project, model)}/{verb}"
        return deployment_from_json(self.request("POST", path, body))

    def end(self, project: str, model: str, side: Side) -> Deployment:
        """Stop the canary, the shadow or the previous champion alone."""
        path = f"{_deployment_path(project, model)}/{side.value}"
        return deployment_from_json(self.request("DELETE", path))

    def undeploy(self, project: str, model: str) -> None:
        """Ask for a model to be served no more."""
        self.request("DELETE", _deployment_path(project, model))

    def deployments(self, project: str | None = None) -> list[Deployment]:
        """Every deployment within the token's reach, or a project's."""
        rows = self.request("GET", "/api/deployments")
        found = [deployment_from_json(row) for row in rows]
        return [row for row in found if project in (None, row.project)]

    def predict(
        self, project: str, model: str, inputs: Mapping[str, Any] | bytes, request_id: str | None = None
    ) -> dict[str, Any]:
        """Outputs of the served model: name -> nested lists; of a file, what the project makes of it."""
        body = inputs if isinstance(inputs, bytes) else {"inputs": dict(inputs)}
        path = f"{_model_path(project, model)}/predict"
        return dict(self.request("POST", path, body, request_id=request_id)["outputs"])

    def add_data(self, version: DataVersion) -> None:
        """Tell of a data version that was added."""
        body = {
            "path": version.path, "hash": version.hash, "size_bytes": version.size_bytes,
            "files": version.files, "git_revision": version.git_revision, "remote": version.remote,
            "checks": [asdict(check) for check in version.checks],
        }  # fmt: skip
        self.request("POST", f"/api/projects/{quote(version.project, safe='')}/data", body)

    def metric_history(self, project: str, run_id: str, key: str, max_points: int) -> dict[str, Any]:
        """The values of a metric of a run, thinned out at the source: columns, as docs/api.md has them."""
        path = f"/api/projects/{quote(project, safe='')}/runs/{quote(run_id, safe='')}/metric-history"
        query = {"key": key, "max_points": max_points}
        return dict(self.request("GET", f"{path}?{urlencode(query, errors='replace')}"))

    def runs(self, wanted: Mapping[str, str | int | Sequence[str] | None]) -> dict[str, Any]:
        """A page of the runs within the token's reach, as docs/api.md has it; `wanted` is the query."""
        return dict(self.request("GET", f"/api/runs?{_query_of(wanted)}"))

    def export_runs(
        self, form: str, wanted: Mapping[str, str | int | Sequence[str] | None]
    ) -> Iterator[bytes]:
        """All of them as `csv` or `json`, in pieces."""
        return self.download(f"/api/runs/export?{_query_of({**wanted, 'format': form})}")

    def rebuild_runs(self) -> datetime:
        """Have the index of runs read from MLflow again; returns when that was asked."""
        return datetime.fromisoformat(self.request("POST", "/api/runs/rebuild")["asked_at"])

    def restore_runs(self, runs: Sequence[str]) -> dict[str, Any]:
        """Bring archived runs back, each given as `project/id`; returns what `changed` and `failed`."""
        return dict(self.request("POST", "/api/runs/restore", {"runs": list(runs)}))

    def inferences(
        self, project: str, model: str, count: int, since: datetime | None = None
    ) -> list[Inference]:
        """The newest of the model's inferences in the log, newest first."""
        query = {"count": count} | ({} if since is None else {"since": since.isoformat()})
        path = f"{_model_path(project, model)}/inferences"
        return [
            Inference(**row | {"at": datetime.fromisoformat(row["at"]), "side": Side(row["side"])})
            for row in self.request("GET", f"{path}?{urlencode(query)}")
        ]

    def alerts(self, project: str | None = None, *, history: bool = False, count: int = 100) -> list[Alert]:
        """What is wrong in the projects of the token, or one of them, newest first; with `history` what was,
        too."""
        one = {} if project is None else {"project": project}
        query = urlencode({"history": str(history).lower(), "count": count} | one)
        return [_alert(row) for row in self.request("GET", f"/api/alerts?{query}")]

    def acknowledge(self, number: int) -> Alert:
        """Say that one looks after an alert; raises `AlertNotFound`."""
        return _alert(self.request("POST", f"/api/alerts/{number}/acknowledge"))

    def ask_for_drift(
        self, project: str, model: str, window_s: float | None, version: int | None
    ) -> DriftJob:
        """Have a drift report made."""
        body = {"model": model, "window_s": window_s, "version": version}
        return _drift_job(self.request("POST", _drift_path(project), body))

    def drift_job(self, project: str, number: int) -> DriftJob:
        """A drift report with its rows; raises `DriftReportNotFound`."""
        return _drift_job(self.request("GET", f"{_drift_path(project)}/{number}"))

    def drift_jobs(self, project: str, model: str, count: int) -> list[DriftJob]:
        """The model's drift reports, newest first, without their rows."""
        query = urlencode({"model": model, "count": count})
        return [_drift_job(row) for row in self.request("GET", f"{_drift_path(project)}?{query}")]

    def log_ground_truths(self, project: str, stated: Sequence[Mapping[str, Any]]) -> GroundTruthsLogged:
        """Log what turned out to be right."""
        path = f"/api/projects/{quote(project, safe='')}/ground-truths"
        return GroundTruthsLogged(**self.request("POST", path, {"ground_truths": list(stated)}))

    def ground_truths(self, project: str, request_id: str) -> list[GroundTruth]:
        """What is known of a request."""
        path = f"/api/projects/{quote(project, safe='')}/ground-truths/{quote(request_id, safe='')}"
        return [_ground_truth(row) for row in self.request("GET", path)]

    def performance(
        self, project: str, model: str, window_s: float, every_s: float | None, version: int | None
    ) -> PerformanceReport:
        """How right a model was."""
        query = {"model": model, "window_s": window_s, "every_s": every_s, "version": version}
        given = urlencode({name: value for name, value in query.items() if value is not None})
        return _performance_report(
            self.request("GET", f"/api/projects/{quote(project, safe='')}/performance?{given}")
        )

    def ticket(self) -> str:
        """A URL that logs a browser in, once, within a minute."""
        return str(self.request("POST", "/api/tickets")["url"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def deployment_from_json(row: Mapping[str, Any]) -> Deployment:
    """The entity that the gateway wrote as JSON."""
    return Deployment(
        **{
            **row,
            "state": DeploymentState(row["state"]),
            "side": Side(row["side"]),
            "created_at": datetime.fromisoformat(row["created_at"]),
            "updated_at": datetime.fromisoformat(row["updated_at"]),
        }
    )


def _alert(row: Mapping[str, Any]) -> Alert:
    ended = row["ended_at"]
    return Alert(
        **{
            **row,
            "severity": Severity(row["severity"]),
            "state": AlertState(row["state"]),
            "began_at": datetime.fromisoformat(row["began_at"]),
            "ended_at": None if ended is None else datetime.fromisoformat(ended),
        }
    )


def _drift_job(row: Mapping[str, Any]) -> DriftJob:
    times = {
        name: None if row[name] is None else datetime.fromisoformat(row[name])
        for name in ("asked_at", "since", "until", "ended_at")
    }
    columns = tuple(
        ColumnDrift(**each | {"check": DriftCheck(each["check"]), "kind": ColumnKind(each["kind"])})
        for each in row["columns"]
    )
    return DriftJob(
        **{
            **row,
            **times,
            "columns": columns,
            "performance": tuple(map(PerformanceChange.read, row["performance"])),
            "trigger": DriftTrigger(row["trigger"]),
            "state": JobState(row["state"]),
        }
    )


def _ground_truth(row: Mapping[str, Any]) -> GroundTruth:
    return GroundTruth(
        **{
            **row,
            "truths": tuple(row["truths"]),
            "earlier": tuple(tuple(each) for each in row["earlier"]),
            "logged_at": datetime.fromisoformat(row["logged_at"]),
        }
    )


def _performance_report(row: Mapping[str, Any]) -> PerformanceReport:
    return PerformanceReport(
        **{
            **row,
            **_span(row),
            "rows": tuple(map(_performance, row["rows"])),
            "over_time": tuple(map(_performance, row["over_time"])),
            "differences": tuple(
                PerformanceDifference(
                    _performance(each["champion"]), _performance(each["other"]), each["low"], each["high"],
                    Verdict(each["verdict"]),
                )
                for each in row["differences"]
            ),
            "problems": tuple(row["problems"]),
        }
    )  # fmt: skip


def _performance(row: Mapping[str, Any]) -> Performance:
    return Performance(**{**row, **_span(row), "side": Side(row["side"])})


def _span(row: Mapping[str, Any]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(row[name]) for name in ("since", "until")}


def _drift_path(project: str) -> str:
    return f"/api/projects/{quote(project, safe='')}/drift"


def _query_of(wanted: Mapping[str, str | int | Sequence[str] | None]) -> str:
    given = {name: value for name, value in wanted.items() if value is not None}
    return urlencode(given, doseq=True, errors="replace")


def _model_path(project: str, model: str) -> str:
    return f"/projects/{quote(project, safe='')}/models/{quote(model, safe='')}"


def _deployment_path(project: str, model: str) -> str:
    return f"/api/projects/{quote(project, safe='')}/deployments/{quote(model, safe='')}"
