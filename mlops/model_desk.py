"""Registered models of all projects, as pages and programs see them: from the index, never from MLflow."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlops.entities import Deployment
from mlops.errors import ModelNotFound
from mlops.model_files import ModelFiles, VersionFiles
from mlops.project import check_project_name
from mlops.store.audit import AuditEntry
from mlops.store.data_versions import UsedData
from mlops.store.indexed_runs import IndexedRun
from mlops.store.model_versions import IndexedVersion
from mlops.store.store import Store

CHAMPION = "champion"
MOST_VERSIONS = 100
"""Of a model, at a time."""
MOST_ACTIONS = 20
"""That are read of a model at a time."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version with what made it and what it serves."""

    version: IndexedVersion
    metrics: Mapping[str, float]
    """The last values of its run that are finite, the project's primary metric first; hardware readings stay
    out."""
    run: IndexedRun | None
    """That made it; None where it is not in the index."""
    deployments: tuple[Deployment, ...]


@dataclass(frozen=True, slots=True)
class ModelState:
    """A registered model at a glance."""

    project: str
    model: str
    versions: int
    newest: IndexedVersion
    champion: VersionState | None
    """What has MLflow's alias of that name."""
    aliases: Mapping[str, int]
    primary_metric: str
    deployments: tuple[Deployment, ...]


@dataclass(frozen=True, slots=True)
class VersionDetail:
    """A version with all that is known of it."""

    state: VersionState
    champion: VersionState | None
    files: VersionFiles
    data: tuple[UsedData, ...]
    """That its run used."""


class ModelDesk:
    """Reads. Every verb raises `ServiceUnavailable` without Postgres, and `InvalidName` for a project's name
    that is none."""

    def __init__(self, store: Store, gateway: str, files: ModelFiles | None = None) -> None:
        """`gateway` is its URL, without a trailing slash. `files` are those of versions; None where MLflow
        keeps them elsewhere."""
        self._store = store
        self._gateway = gateway
        self._files = files

    def models(self, project: str | None = None) -> list[ModelState]:
        """Every registered model, or a project's, by project and name."""
        heads: dict[Key, list[IndexedVersion]] = defaultdict(list)
        counts: dict[Key, int] = {}
        for version, count in self._store.model_versions.heads(project):
            key = (version.project, version.model)
            heads[key].append(version)
            counts[key] = count
        champions = [each for found in heads.values() for each in found if CHAMPION in each.aliases]
        states = {(each.version.project, each.version.model): each for each in self._states(champions)}
        primary, serving = self._store.projects.described(), self._serving(project)
        return [
            ModelState(
                *key,
                versions=counts[key],
                newest=found[0],
                champion=states.get(key),
                aliases={alias: each.version for each in found for alias in each.aliases},
                primary_metric=primary.get(key[0], {}).get("primary_metric", ""),
                deployments=tuple(serving.get(key, ())),
            )
            for key, found in heads.items()
        ]

    def versions(self, project: str, model: str, before: int | None = None) -> list[VersionState]:
        """The newest versions of a model, or the newest before one, newest first; at most `MOST_VERSIONS`.
        Raises `ModelNotFound` where there is no version at all."""
        check_project_name(project, "project")
        found = self._store.model_versions.of_model(project, model, MOST_VERSIONS, before)
        if not found and before is None:
            raise ModelNotFound(project, model)
        return self._states(found)

    def version(self, project: str, model: str, version: int) -> VersionState:
        """One version; raises `ModelNotFound`."""
        check_project_name(project, "project")
        found = self._store.model_versions.get(project, model, version)
        if found is None:
            raise ModelNotFound(project, model, version)
        return self._states([found])[0]

    def detail(self, project: str, model: str, version: int) -> VersionDetail:
        """One version with its files and the champion to compare it with; raises `ModelNotFound`."""
        state = self.version(project, model, version)
        files = VersionFiles(problem="Its files lie with an MLflow elsewhere.")
        if self._files is not None:
            namespace = self._store.projects.get(project).namespace
            files = self._files.read(state.version, namespace)
        run_id = state.version.run_id
        data = tuple(self._store.data.of_run(project, run_id)) if run_id else ()
        return VersionDetail(state, self.champion(project, model), files, data)

    def champion(self, project: str, model: str) -> VersionState | None:
        """The version with MLflow's alias `champion`; None where none has it."""
        heads = self._store.model_versions.heads(project)
        found = [each for each, _ in heads if each.model == model and CHAMPION in each.aliases]
        return self._states(found)[0] if found else None

    def example(self, project: str, model: str, version: int) -> dict[str, Any]:
        """Inputs by name that were stored with the version as an example; empty where none were."""
        found = self._store.model_versions.get(project, model, version)
        if found is None or self._files is None:
            return {}
        return self._files.example(found, self._store.projects.get(project).namespace)

    def actions(self, project: str, model: str) -> list[AuditEntry]:
        """Who did what to the model, the newest first."""
        check_project_name(project, "project")
        return self._store.audit.of_model(project, model, MOST_ACTIONS)

    def _states(self, versions: Sequence[IndexedVersion]) -> list[VersionState]:
        runs = {run.id: run for run in self._store.runs.indexed([each.run_id for each in versions])}
        projects = {each.project for each in versions}
        primary = self._store.projects.described()
        serving = self._serving(projects.pop() if len(projects) == 1 else None)
        return [
            _state(each, runs.get(each.run_id), primary.get(each.project, {}).get("primary_metric", ""),
                   serving.get((each.project, each.model), ()))
            for each in versions
        ]  # fmt: skip

    def _serving(self, project: str | None) -> dict[Key, list[Deployment]]:
        found: dict[Key, list[Deployment]] = defaultdict(list)
        for each in self._store.deployments.all(project):
            found[each.project, each.model].append(replace(each, url=self._gateway + each.url))
        return found


def _state(
    version: IndexedVersion, run: IndexedRun | None, primary: str, deployments: Iterable[Deployment]
) -> VersionState:
    # A version may name any run, also one of a project that its readers may not see.
    own = run if run is not None and run.project == version.project else None
    served = tuple(each for each in deployments if each.version == version.version)
    return VersionState(version, {} if own is None else _metrics(own, primary), own, served)


def _metrics(run: IndexedRun, primary: str) -> dict[str, float]:
    found = {
        name: each.last
        for name, each in run.metrics.items()
        if not name.startswith("system/") and math.isfinite(each.last)
    }
    return dict(sorted(found.items(), key=lambda item: (item[0] != primary, item[0])))
