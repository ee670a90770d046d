"""Where a run, a model version or a data version comes from, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mlops.data.git import is_content_hash
from mlops.entities import DataVersion, Deployment, ModelVersion, Run
from mlops.errors import (
    ConfigError,
    DataError,
    DataNotFound,
    InvalidInput,
    InvalidName,
    NotFound,
    RunNotFound,
    ServiceUnavailable,
)
from mlops.registry.reference import find_version
from mlops.tracking.results import every_run
from mlops.workspace import Workspace

_COMMIT = "mlflow.source.git.commit"


class Kind(StrEnum):
    """What a node of a lineage is."""

    RUN = "run"
    MODEL = "model version"
    DATA = "data version"
    CODE = "code"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True)
class LineageNode:
    """One thing of a lineage, and those next to it, away from where one began to look."""

    kind: Kind
    relation: str
    """What it is to its parent: `used`, `declared`, `made`, `used by`, `served as` and so on; or empty."""
    id: str
    """What names it: a run's id, `name:3`, a data version's hash, a git commit, a deployment's id."""
    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    children: tuple[LineageNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Lineage:
    """A tree, and what could not be asked."""

    root: LineageNode
    remarks: tuple[str, ...] = ()


def trace(workspace: Workspace, reference: str) -> Lineage:
    """The lineage of a run (id or key), a model version (`name`, `name:3`, `name@alias`) or a data version
    (path, `path@rev`, hash). `run:`, `model:` or `data:` before it says which, where two would do.

    Of a run and a model: back to the data and the code, forward to deployments. Of a data version: forward to
    runs, models, deployments. Raises `NotFound` for what is none of them, `InvalidInput`,
    `ServiceUnavailable` when the tracking server does not answer.
    """
    kind, colon, rest = reference.partition(":")
    tracer = _Tracer(workspace)
    if colon and kind in tracer.ways:
        return tracer.lineage(tracer.ways[kind](rest))
    if not reference:
        raise InvalidInput("reference", reference, "names nothing", remedy=_REMEDY)
    for way in _order(reference):
        try:
            return tracer.lineage(tracer.ways[way](reference))
        except (NotFound, InvalidName, InvalidInput, DataError):
            continue
    raise NotFound(
        f"project {workspace.info.project_name!r} has no run, model version or data version {reference!r}",
        remedy=_REMEDY,
        project=workspace.info.project_name,
        reference=reference,
    )


_REMEDY = "Give a run's id, `name:3`, `name@champion`, `data/raw`, `data/raw@v1.0` or a data hash."


def _order(reference: str) -> tuple[str, ...]:
    """The likelier first: a path has a separator, an id or a hash 32 hexadecimal digits."""
    if "/" in reference or reference.endswith(".dir"):
        return ("data", "model", "run")
    if is_content_hash(reference):
        return ("run", "data", "model")
    return ("model", "data", "run")


def _relation(run: Run, version: DataVersion) -> str:
    is_used = any(each.hash == version.hash and not each.declared for each in run.data)
    return "used by" if is_used else "declared by"


class _Tracer:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._remarks: list[str] = []
        self._versions: list[ModelVersion] | None = None
        self._deployed: list[Deployment] | None = None
        self.ways: dict[str, Callable[[str], LineageNode]] = {
            "run": self.of_run,
            "model": self.of_model,
            "data": self.of_data,
        }

    def lineage(self, root: LineageNode) -> Lineage:
        return Lineage(root, tuple(self._remarks))

    # -- where one begins -----------------------------------------------------------------------

    def of_run(self, run_id: str) -> LineageNode:
        run = self._workspace.tracking.get_run(run_id)
        return self._run(run, "", (*self._sources(run), *self._made(run)))

    def of_model(self, reference: str) -> LineageNode:
        version = find_version(self._workspace.registry, self._workspace.info.project_name, reference)
        try:
            run = self._workspace.tracking.get_run(version.run_id)
        except RunNotFound:
            self._remarks.append(f"the run {version.run_id} that made it was deleted")
            back: tuple[LineageNode, ...] = ()
        else:
            back = (self._run(run, "made by", tuple(self._sources(run))),)
        return self._model(version, "", (*back, *self._served(version)))

    def of_data(self, reference: str) -> LineageNode:
        version, runs = self._data_and_runs(reference)
        users = tuple(self._run(run, _relation(run, version), tuple(self._made(run))) for run in runs)
        return self._data(version, "", users)

    def _data_and_runs(self, reference: str) -> tuple[DataVersion, list[Run]]:
        """The version that is meant, and the runs that used it. A hash may be of a version that only runs
        know: it was never committed."""
        if is_content_hash(reference):
            runs = self._runs_with(reference, None)
            known = [each for run in runs for each in run.data if each.hash == reference]
            if not known:
                raise DataNotFound(
                    self._workspace.info.project_name, reference, remedy="No run used data of that hash."
                )
            return known[0], runs
        version = self._version(reference)
        return version, self._runs_with(version.hash, version.path)

    def _version(self, reference: str) -> DataVersion:
        """Of `path` or `path@rev`; a path may have an `@` itself."""
        path, at, rev = reference.rpartition("@")
        try:
            return self._workspace.data.version(reference)
        except DataNotFound:
            if not at:
                raise
            return self._workspace.data.version(path, rev)

    def _runs_with(self, digest: str, path: str | None) -> list[Run]:
        found = every_run(self._workspace.tracking, f"dataset.digest = '{digest}'")
        return [run for run in found if path is None or any(path == each.path for each in run.data)]

    # -- what is next to it ---------------------------------------------------------------------

    def _sources(self, run: Run) -> Iterator[LineageNode]:
        for version in run.data:
            yield self._data(version, "declared" if version.declared else "used", ())
        commit = run.tags.get(_COMMIT, "")
        if commit:
            facts = {
                "program": run.tags.get("mlflow.source.name", ""),
                "user": run.tags.get("mlflow.user", ""),
            }
            yield LineageNode(Kind.CODE, "ran", commit, f"git {commit[:8]}", facts)

    def _made(self, run: Run) -> Iterator[LineageNode]:
        if self._versions is None:
            self._versions = self._workspace.registry.list_versions()
        for version in self._versions:
            if version.run_id in (run.id, run.key):
                yield self._model(version, "made", tuple(self._served(version)))

    def _served(self, version: ModelVersion) -> Iterator[LineageNode]:
        for each in self._deployments():
            if (each.model, each.version) == (version.name, version.version):
                facts = {"state": each.state.value, "url": each.url, "since": each.updated_at}
                yield LineageNode(Kind.DEPLOYMENT, "served as", str(each.id), each.state.value, facts)

    def _deployments(self) -> list[Deployment]:
        if self._deployed is None:
            try:
                self._deployed = self._workspace.gateway.deployments(self._workspace.info.project_name)
            except (ServiceUnavailable, ConfigError) as error:
                self._deployed = []
                self._remarks.append(f"deployments are not known: {error.message}")
        return self._deployed

    # -- nodes ----------------------------------------------------------------------------------

    def _run(self, run: Run, relation: str, children: tuple[LineageNode, ...]) -> LineageNode:
        facts = {"status": run.status.value, "started_at": run.started_at, "url": run.url, "key": run.key}
        return LineageNode(Kind.RUN, relation, run.id, run.name, facts, children)

    def _model(self, version: ModelVersion, relation: str, children: tuple[LineageNode, ...]) -> LineageNode:
        name = f"{version.name}:{version.version}"
        facts = {"flavor": version.flavor, "aliases": list(version.aliases), "created_at": version.created_at}
        return LineageNode(Kind.MODEL, relation, name, name, facts, children)

    def _data(self, version: DataVersion, relation: str, children: tuple[LineageNode, ...]) -> LineageNode:
        facts: dict[str, Any] = {
            "files": version.files,
            "size_bytes": version.size_bytes,
            "git_revision": version.git_revision,
            "git_dirty": version.git_dirty,
            "remote": version.remote,
        }
        if version.checks:
            facts["checks"] = {each.name: each.passed for each in version.checks}
        return LineageNode(Kind.DATA, relation, version.hash, version.path, facts, children)
