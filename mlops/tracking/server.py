"""One project's runs on an MLflow server: what the sender delivers and what is read back."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from mlops.entities import MODEL_KEY, RUN_KEY, VERSION_KEY, Run, RunStatus
from mlops.tracking.datasets import data_versions
from mlops.tracking.rest import Rest, ServerRefusal
from mlops.tracking.run_folder import Opening

_PAGE = 1000
_EXISTS = "RESOURCE_ALREADY_EXISTS"


class MLflowServer:
    """The calls, as the project's account; raises what `Rest.call` raises."""

    def __init__(self, rest: Rest, project: str, workspace: str, experiment_id: str) -> None:
        """`experiment_id` is the project's own experiment."""
        self.rest = rest
        self.project = project
        self.workspace = workspace
        self.experiment_id = experiment_id
        self._experiments: dict[str, str] = {}

    # -- delivery -------------------------------------------------------------------------------

    def create_run(self, opening: Opening) -> str:
        """MLflow's id of the run with this key: found, or made. A deleted run is found too."""
        experiment = self.experiment(opening.experiment)
        if found := self.find_run(opening.key, [experiment]):
            return found
        tags = {**opening.tags, RUN_KEY: opening.key}
        made = self.rest.call(
            "POST",
            "/runs/create",
            {
                "experiment_id": experiment,
                "run_name": opening.name,
                "start_time": opening.started_ms,
                "tags": _pairs(tags),
            },
        )
        return str(made["run"]["info"]["run_id"])

    def find_run(self, key: str, experiments: Sequence[str] | None = None) -> str | None:
        """MLflow's id of the run with this key; None when there is none."""
        found = self.rest.call(
            "POST",
            "/runs/search",
            {
                "experiment_ids": list(experiments or self.experiments()),
                "filter": f"tags.`{RUN_KEY}` = '{key}'",
                "run_view_type": "ALL",
                "max_results": 1,
            },
        )
        runs = found.get("runs", [])
        return str(runs[0]["info"]["run_id"]) if runs else None

    def experiment(self, name: str | None) -> str:
        """Id of the experiment of that name, made on first use; of the project's own for None."""
        if name is None:
            return self.experiment_id
        if name not in self._experiments:
            self._experiments[name] = self._experiment(name)
        return self._experiments[name]

    def _experiment(self, name: str) -> str:
        try:
            return str(self.rest.call("POST", "/experiments/create", {"name": name})["experiment_id"])
        except ServerRefusal as refusal:
            if refusal.code != _EXISTS:
                raise
        found = self.rest.call("GET", "/experiments/get-by-name", query={"experiment_name": name})
        return str(found["experiment"]["experiment_id"])

    def experiments(self) -> list[str]:
        """Ids of all experiments of the project."""
        found: list[str] = []
        token = ""
        while True:
            page = self.rest.call("POST", "/experiments/search", {"max_results": _PAGE, "page_token": token})
            found += [str(each["experiment_id"]) for each in page.get("experiments", [])]
            token = page.get("next_page_token", "")
            if not token:
                return found

    def update_run(self, run_id: str, status: str, end_ms: int | None) -> None:
        """Set the run's status, and when it ended."""
        ended = {} if end_ms is None else {"end_time": end_ms}
        self.rest.call("POST", "/runs/update", {"run_id": run_id, "status": status, **ended})

    def upload(self, artifact_uri: str, folder: Path, below: str) -> None:
        """Upload what is in `folder` below `below` of the place that `artifact_uri` names."""
        parts = urlsplit(artifact_uri)
        if parts.scheme != "mlflow-artifacts" or parts.netloc:
            # A store that the server does not stand in front of: MLflow's own way, its import included.
            from mlops.binding.artifacts import upload

            upload(artifact_uri, folder, below)
            return
        root = posixpath.join(parts.path.strip("/"), below)
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            self.rest.upload(file, posixpath.join(root, file.relative_to(folder).as_posix()))

    def create_model(self, key: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The logged model with this key: found, or made from `body` (MLflow's create request)."""
        found = self.rest.call(
            "POST",
            "/logged-models/search",
            {
                "experiment_ids": [body["experiment_id"]],
                "filter": f"tags.`{MODEL_KEY}` = '{key}'",
                "max_results": 1,
            },
        )
        if models := found.get("models"):
            return dict(models[0])
        tags = [*body.get("tags", []), {"key": MODEL_KEY, "value": key}]
        return dict(self.rest.call("POST", "/logged-models", {**body, "tags": tags})["model"])

    def model_location(self, model_id: str) -> str:
        """Where a logged model's files belong."""
        found = self.rest.call("GET", f"/logged-models/{quote(model_id, safe='')}")
        return str(found["model"]["info"]["artifact_uri"])

    def create_version(self, key: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The model version with this key: found, or made from `body` (MLflow's create request). The
        registered model is made when there is none."""
        found = self.rest.call(
            "GET",
            "/model-versions/search",
            query={"filter": f"name = {_quoted(name)} and tags.`{VERSION_KEY}` = '{key}'", "max_results": 1},
        )
        if versions := found.get("model_versions"):
            return dict(versions[0])
        try:
            self.rest.call("POST", "/registered-models/create", {"name": name})
        except ServerRefusal as refusal:
            if refusal.code != _EXISTS:
                raise
        tags = [*body.get("tags", []), {"key": VERSION_KEY, "value": key}]
        made = self.rest.call("POST", "/model-versions/create", {**body, "name": name, "tags": tags})
        return dict(made["model_version"])

    # -- reading --------------------------------------------------------------------------------

    def run(self, run_id: str) -> dict[str, Any]:
        """MLflow's JSON of a run."""
        return dict(self.rest.call("GET", "/runs/get", query={"run_id": run_id})["run"])

    def delete_run(self, run_id: str) -> None:
        """Move a run to MLflow's deleted ones."""
        self.rest.call("POST", "/runs/delete", {"run_id": run_id})

    def restore_run(self, run_id: str) -> None:
        """Bring a deleted run back."""
        self.rest.call("POST", "/runs/restore", {"run_id": run_id})

    def read(self, found: Mapping[str, Any]) -> Run:
        """The entity of MLflow's JSON of a run."""
        info, data = found["info"], found.get("data", {})
        run_id, experiment = str(info["run_id"]), str(info["experiment_id"])
        tags = {str(tag["key"]): str(tag.get("value", "")) for tag in data.get("tags", [])}
        return Run(
            key=tags.get(RUN_KEY, run_id),
            project=self.project,
            name=str(info.get("run_name") or ""),
            status=_status(str(info.get("status", ""))),
            started_at=time_of(info.get("start_time") or 0),
            ended_at=time_of(info["end_time"]) if info.get("end_time") else None,
            params={str(each["key"]): str(each.get("value", "")) for each in data.get("params", [])},
            metrics={str(each["key"]): number_of(each.get("value", 0)) for each in data.get("metrics", [])},
            tags={key: value for key, value in tags.items() if key not in ("mlflow.runName", RUN_KEY)},
            url=self._page(experiment, run_id),
            mlflow_id=run_id,
            data=data_versions(self.project, found),
        )

    def page_of(self, opening: Opening, run_id: str | None) -> str:
        """A run's page in MLflow's UI, found without a request; empty when that cannot be."""
        name = opening.experiment
        experiment = self.experiment_id if name is None else self._experiments.get(name)
        # Of a run that is resumed the experiment is not told.
        if run_id is None or experiment is None or opening.mlflow_id is not None:
            return ""
        return self._page(experiment, run_id)

    def _page(self, experiment: str, run_id: str) -> str:
        page = f"{self.rest.url}/#/experiments/{experiment}/runs/{run_id}"
        return f"{page}?workspace={quote(self.workspace, safe='')}"


def _quoted(name: str) -> str:
    return f'"{name}"' if "'" in name else f"'{name}'"


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _status(status: str) -> RunStatus:
    return RunStatus(status) if status in RunStatus.__members__ else RunStatus.RUNNING


def number_of(value: object) -> float:
    """A number of MLflow's JSON, where NaN and infinities come as text."""
    return float(value)  # type: ignore[arg-type]


def time_of(milliseconds: object) -> datetime:
    """A time of MLflow's JSON."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)  # type: ignore[call-overload]
