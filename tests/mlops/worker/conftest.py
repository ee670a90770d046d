"""The index of runs over each way to read MLflow: its tables, and its API."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from mlops.entities import ProjectWorkspace
from mlops.store.indexed_runs import IndexedRun
from mlops.store.run_query import RunQuery
from mlops.store.store import Store
from mlops.tracking.admin import MLflowAdmin
from mlops.tracking.rest import Rest
from mlops.worker.index import RunIndex
from mlops.worker.indexer import Index
from mlops.worker.polled_index import PolledIndex
from tests.servers import Server

if TYPE_CHECKING:
    import mlflow

Runs = dict[str, IndexedRun]


class Source(Protocol):
    """An MLflow, and the index that is made of it."""

    client: mlflow.MlflowClient
    """In the workspace of the project that was added last."""

    def add_project(self, name: str) -> str:
        """Register a project with a workspace of its own; the id of an experiment there."""

    def index(self) -> Index:
        """As a worker that has begun makes it."""

    def register(self, model: str, run_id: str = "", source: str = "", **tags: str) -> None:
        """Make a version of a model in the workspace of the project that was added last."""

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Give a version an alias."""

    def delete_version(self, model: str, version: int) -> None:
        """Delete a version as MLflow does."""


class Tables:
    """MLflow's Postgres. Its client without a server is in the default workspace alone: what it writes is
    moved from there."""

    def __init__(self, store: Store, client: mlflow.MlflowClient, url: str) -> None:
        self._store, self.client, self._url = store, client, url
        self._namespace = ""

    def add_project(self, name: str) -> str:
        self._namespace = f"{name}-{uuid.uuid4().hex[:8]}"
        made = self.client.create_experiment(f"of {self._namespace}", artifact_location="file:///nowhere")
        self._do("UPDATE experiments SET workspace = %s WHERE experiment_id = %s", self._namespace, int(made))
        self._store.projects.put(workspace_of(name, self._namespace), {})
        return str(made)

    def index(self) -> RunIndex:
        return RunIndex(self._store, self._url)

    def register(self, model: str, run_id: str = "", source: str = "s3://models/x", **tags: str) -> None:
        if not self._move(model, self._namespace, "default"):
            self.client.create_registered_model(model)
        self.client.create_model_version(model, source, run_id or None, tags=tags)
        self._move(model, "default", self._namespace)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        statement = (
            "INSERT INTO registered_model_aliases (alias, version, name, workspace)"
            " SELECT %s, %s, name, workspace FROM registered_models WHERE name = %s"
        )
        self._do(statement, alias, version, model)

    def delete_version(self, model: str, version: int) -> None:
        statement = "UPDATE model_versions SET current_stage = %s WHERE name = %s AND version = %s"
        self._do(statement, "Deleted_Internal", model, version)

    def _move(self, model: str, of: str, to: str) -> int:
        return self._do(
            "UPDATE registered_models SET workspace = %s WHERE name = %s AND workspace = %s", to, model, of
        )

    def _do(self, statement: str, *values: object) -> int:
        with psycopg.connect(self._url) as connection:
            return connection.execute(statement, values).rowcount


class Api:
    """A server elsewhere."""

    def __init__(self, store: Store, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        import mlflow

        self._store, self._server, self._monkeypatch = store, server, monkeypatch
        self.passwords: dict[str, str] = {}
        # A process that was bound to a project of this server is kept from it outside of runs.
        monkeypatch.delenv("MLFLOW_TRACKING_AUTH", raising=False)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", server.username)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", server.password)
        self.client = mlflow.MlflowClient(tracking_uri=server.url, registry_uri=server.url)

    def add_project(self, name: str) -> str:
        namespace, password = f"{name}-{uuid.uuid4().hex[:8]}", secrets.token_urlsafe(12)
        server = self._server
        admin = MLflowAdmin(url=server.url, username=server.username, password=server.password)
        self.passwords[namespace] = password
        admin.prepare_project(namespace, password)
        self._monkeypatch.setenv("MLFLOW_WORKSPACE", namespace)
        self._store.projects.put(workspace_of(name, namespace), {})
        return str(self.client.create_experiment(f"of {namespace}"))

    def rest(self, workspace: ProjectWorkspace) -> Rest:
        namespace = workspace.namespace
        return Rest(lambda: self._server.url, namespace, namespace, self.passwords[namespace])

    def index(self) -> PolledIndex:
        return PolledIndex(self._store, self._server.url, self.rest, recount_s=0.0)

    def register(self, model: str, run_id: str = "", source: str = "s3://models/x", **tags: str) -> None:
        if not self.client.search_registered_models(f"name = '{model}'"):
            self.client.create_registered_model(model)
        self.client.create_model_version(model, source, run_id or None, tags=tags)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        self.client.set_registered_model_alias(model, alias, str(version))

    def delete_version(self, model: str, version: int) -> None:
        self.client.delete_model_version(model, str(version))


def workspace_of(name: str, namespace: str) -> ProjectWorkspace:
    return ProjectWorkspace(name, namespace, "1", "", "", "", Path("/"))


@pytest.fixture
def tables(store: Store, mlflow_database: Any, mlflow_database_url: str) -> Tables:
    """MLflow's own database, here."""
    return Tables(store, mlflow_database, mlflow_database_url)


@pytest.fixture
def api(store: Store, mlflow_server: Server, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A server of MLflow elsewhere."""
    return Api(store, mlflow_server, monkeypatch)


@pytest.fixture
def client(source: Source, experiment: str) -> mlflow.MlflowClient:
    """MLflow's own, in the workspace of `experiment`."""
    return source.client


@pytest.fixture
def experiment(source: Source) -> str:
    """Of a workspace of its own, which the project `indexed` has."""
    return source.add_project("indexed")


@pytest.fixture
def index(source: Source) -> Index:
    """Of `source`."""
    return source.index()


@pytest.fixture
def look(store: Store, index: Index) -> Callable[[], Runs]:
    """The index after a further round, by the runs' names."""

    def read() -> Runs:
        index.update()
        return {run.name: run for run in store.runs.stream(RunQuery())}

    return read
