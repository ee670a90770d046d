"""The client of one project: thin verbs over its workspace and the gateway."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from mlops.active_run import ActiveRun
from mlops.config import MLOpsConfig
from mlops.current_run import CurrentRun
from mlops.data.archive import pack
from mlops.data.checks import check_data
from mlops.data.paths import check_path
from mlops.data.survey import differs
from mlops.durations import read_duration
from mlops.entities import (
    DataStatus,
    DataTransfer,
    DataVersion,
    Deployment,
    DeploymentState,
    DriftJob,
    GroundTruth,
    GroundTruthsLogged,
    Inference,
    JobState,
    ModelVersion,
    PerformanceReport,
    ProjectWorkspace,
    Run,
    Side,
)
from mlops.errors import (
    DeploymentFailed,
    DeploymentNotFound,
    DriftReportFailed,
    InvalidInput,
    MLOpsError,
    NoActiveRun,
    ReferenceNotFound,
    ServiceUnavailable,
    VersionPending,
)
from mlops.hardware import machine
from mlops.hardware.base import HardwareSample
from mlops.hardware.given import given
from mlops.hardware.thermal import ThermalGate
from mlops.installation import Installation
from mlops.lineage import Lineage, trace
from mlops.monitoring.labels import MOST_AT_ONCE, batched, plain_label
from mlops.project import Project, check_model_name, check_request_id, find_project, read_project
from mlops.remote import Gateway
from mlops.tracking.compare import RunComparison, best, compare
from mlops.tracking.documents import Write, dict_writer, document, figure_writer, text_writer
from mlops.tracking.results import MetricHistory, Runs
from mlops.workspace import Workspace

if TYPE_CHECKING:
    from mlops.monitoring.sample import Sample

_log = logging.getLogger(__name__)

_DEPLOY_TIMEOUT_S = 180.0
_DRIFT_TIMEOUT_S = 900.0


class MLOpsClient:
    """Everything a project does with the platform.

    Each verb acts in this project's workspace alone, whichever other clients live in the process or
    in its threads. A run of a `with` block belongs to the context it was started in: a thread started
    outside it has none, and its verbs raise `NoActiveRun`.
    """

    def __init__(self, project: Project, workspace: Workspace) -> None:
        self.project = project
        self._workspace = workspace
        self._current = CurrentRun(project.name, str(workspace.installation.root))
        self._used: dict[str, DataVersion] = {}
        """What `use_data` gave outside any run, by path."""

    @classmethod
    def from_project(cls, name: str | None = None, *, config: MLOpsConfig | None = None) -> MLOpsClient:
        """The client of the registered project `name`, or of the project whose folder we are in.

        Raises `ProjectNotFound` (not registered; no project.toml here or above), `ProjectFileError`.
        """
        installation = Installation(config or MLOpsConfig.load())
        wanted = find_project(Path.cwd()).name if name is None else name
        workspace = Workspace.open(wanted, installation)
        return cls(read_project(workspace.info.root), workspace)

    @property
    def workspace(self) -> ProjectWorkspace:
        """What the project owns on the platform."""
        return self._workspace.info

    # -- runs -----------------------------------------------------------------------------------

    def start_run(
        self,
        run_name: str | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        experiment_name: str | None = None,
        run_id: str | None = None,
        capture_output: bool | None = None,
        log_system_metrics: bool | None = None,
    ) -> ActiveRun:
        """A run, new or (`run_id`, a key or MLflow's id) resumed. No server is needed; one is waited for at
        most a second.

        `with client.start_run() as run:` ends it FINISHED, or FAILED with the exception's text as tag
        `mlops.error`, and a run inside is its child. Without `with` it is the run of the whole process
        until `run.finish()`, the program's end, or this thread's next run. Plain `mlflow.log_*` and
        autolog write to the same run. What it prints is its artifact `output.log`, unless
        `capture_output` (MLOPS_CAPTURE_OUTPUT) is false. A new run names the recorded versions of the data
        paths that project.toml declares, and what `use_data` gave outside a run. The machine is sampled
        meanwhile, every MLOPS_HARDWARE_INTERVAL_S seconds, unless that is 0; `log_system_metrics` says
        otherwise. Raises `RunNotFound`, `InvalidInput`.
        """
        config = self._workspace.installation.config
        run = self._current.start(
            self._workspace.tracking,
            run_name,
            tags=tags or {},
            experiment_name=experiment_name,
            run_id=run_id,
            capture_output=config.capture_output if capture_output is None else capture_output,
            open_readers=partial(machine.open_readers, powermetrics=config.powermetrics),
            hardware_interval_s=_interval_s(config, log_system_metrics),
        )
        if run_id is None:
            self._record_data(run)
        return run

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters; each is written once. Raises `NoActiveRun`, `InvalidInput`."""
        run = self._active("log_params")
        run.tracking.log(run.key, params=params)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step. Raises `NoActiveRun`, `InvalidInput` for what is no number."""
        run = self._current.get() or self._active("log_metrics")
        run.write_metrics(metrics, step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags. Raises `NoActiveRun`, `InvalidInput`."""
        run = self._active("set_tags")
        run.tracking.log(run.key, tags=tags)

    def log_data(self, version: DataVersion) -> None:
        """Record the data the run uses. Raises `NoActiveRun`."""
        run = self._active("log_data")
        run.tracking.log(run.key, data=version)

    def log_artifact(self, path: str | Path, artifact_path: str | None = None) -> None:
        """Keep a copy of a file or a folder. Raises `NoActiveRun`, `InvalidInput`."""
        run = self._active("log_artifact")
        run.tracking.log_artifact(run.key, Path(path), artifact_path)

    def log_figure(self, figure: Any, name: str) -> None:
        """Keep a figure of matplotlib or plotly, or an image of PIL, as the artifact `name`, such as
        `plots/loss.png` (plotly: `.html` too). Raises `NoActiveRun`, `InvalidInput`."""
        self._log_document("log_figure", name, figure_writer(figure, name))

    def log_text(self, text: str, name: str) -> None:
        """Keep a text as the artifact `name`, in UTF-8. Raises `NoActiveRun`, `InvalidInput`."""
        self._log_document("log_text", name, text_writer(text))

    def log_dict(self, mapping: Mapping[str, Any], name: str) -> None:
        """Keep a mapping as the artifact `name`: JSON (.json) or YAML (.yaml, .yml). Raises `NoActiveRun`,
        `InvalidInput`."""
        self._log_document("log_dict", name, dict_writer(mapping, name))

    def _log_document(self, verb: str, name: str, write: Write) -> None:
        run = self._active(verb)
        with document(name, write) as (path, below):
            run.tracking.log_artifact(run.key, path, below)

    def log_apple_silicon_metrics(self, figures: Mapping[str, Any] | None = None) -> HardwareSample:
        """Record what the machine does now, or the given `figures`, named as in `HardwareSample`; returns
        what was recorded. What cannot be read is None, and left out. Raises `NoActiveRun`, and
        `InvalidInput` that names the figure."""
        run = self._active("log_apple_silicon_metrics")
        if figures is None:
            return run.hardware.sample()
        sample = given(figures)
        run.hardware.record(sample)
        return sample

    @cached_property
    def thermal(self) -> ThermalGate:
        """Whether the machine is too hot to go on, to be asked between epochs."""
        return ThermalGate(machine.thermal_state())

    def log_model(
        self,
        model: Any,
        name: str,
        *,
        flavor: str,
        input_example: Any = None,
        output_example: Any = None,
        reference: Any = None,
        register: bool = True,
    ) -> ModelVersion | None:
        """Store a model with the run, and register it as the next version of `name` unless told not
        to. `flavor` is onnx, torch, sklearn, mlx or coreml.

        MLX: a module or function of arrays, exported for inputs like `input_example`, which names the
        callable's parameters. Core ML: an MLModel of coremltools, or the path of its package.

        `reference` is what drift reports compare with: `(inputs, outputs)`, each arrays by name as the model
        takes and gives them (or a data frame, or one array), with a row for each prediction; or a `Sample`.
        With `(inputs, outputs, truths)` they also compare how right the model is with how right it was.
        At most 5,000 rows, evenly spaced, are kept as features in the model's own files. Without one there
        are no drift reports.
        Raises `NoActiveRun`, `InvalidInput` (with what cannot be exported, or is no reference),
        `InvalidName`, `ConfigError` where the flavor's package is not installed.
        """
        run = self._active("log_model")
        function = self.project.monitoring.features.get(name, "")
        with self._workspace.reference_folder(
            reference, model, input_example, output_example, function
        ) as files:
            return self._workspace.registry.log_model(
                run.id,
                model,
                check_model_name(name),
                flavor=flavor,
                input_example=input_example,
                output_example=output_example,
                register=register,
                files=files,
            )

    def get_run(self, run_id: str) -> Run:
        """Read a run back. Raises `RunNotFound`."""
        return self._workspace.tracking.get_run(run_id)

    def search_runs(
        self,
        filter: str = "",
        order_by: str = "",
        max_results: int = 100,
        *,
        page_token: str | None = None,
    ) -> Runs:
        """The project's runs, newest first; `filter` and `order_by` in MLflow's search syntax. The list
        has a `frame()`, and the `next_token` that gets the next page. Raises `InvalidInput` naming what
        cannot be read, `ServiceUnavailable`."""
        return self._workspace.tracking.search_runs(filter, order_by, max_results, page_token)

    def compare_runs(
        self, ids: Sequence[str], *, higher_is_better: Mapping[str, bool] | None = None
    ) -> RunComparison:
        """Two or more runs side by side: the params that differ, the metrics, and the best run in each.
        Directions are read from the metrics' names where none is given. Raises `RunNotFound`,
        `InvalidInput`."""
        return compare(self._workspace.tracking, ids, higher_is_better)

    def best_run(self, metric: str, *, mode: Literal["min", "max"] = "min", filter: str = "") -> Run:
        """The FINISHED run whose last value of the metric is the smallest or largest; the earliest of
        equals, never NaN. Raises `MetricNotFound`, `InvalidInput`, `ServiceUnavailable`."""
        return best(self._workspace.tracking, self.project.name, metric, mode, filter)

    def metric_history(self, run_id: str, key: str, max_points: int = 1000) -> MetricHistory:
        """The values of a metric by step and time; of a long run at most `max_points`, with the first,
        last, smallest and largest kept. Raises `RunNotFound`, `MetricNotFound`, `ServiceUnavailable`."""
        return self._workspace.tracking.metric_history(run_id, key, max_points)

    def delete_run(self, run_id: str) -> None:
        """Delete a run, until `restore_run`. Raises `RunNotFound`, and `RunOpen` while it is written."""
        self._workspace.tracking.delete_run(run_id)

    def restore_run(self, run_id: str) -> Run:
        """Bring a deleted run back. Raises `RunNotFound`."""
        return self._workspace.tracking.restore_run(run_id)

    def _active(self, verb: str) -> ActiveRun:
        run = self._current.get()
        if run is None:
            raise NoActiveRun(self.project.name, verb)
        return run

    # -- data -----------------------------------------------------------------------------------

    def dvc_add(
        self, path: str | Path, *, archive: bool = False, allow_failed_checks: bool = False
    ) -> DataVersion:
        """Version a file or folder of the project, as one file `<path>.tar` with `archive`.

        The checks that project.toml declares for it run first, and their result is kept with the version.
        Raises `DataChecksFailed` unless they may fail, `DataNotFound`, `DataChanging` for a file that is
        being written, `InvalidInput`, `DataError`.
        """
        root = self.project.root
        plain = check_path(root, str(path))
        check = partial(check_data, self.project, plain, allow_failed=allow_failed_checks)
        if archive:
            packed, checks = pack(self.project.name, root, plain, check)
            version = self._workspace.data.add(packed, lambda: checks)
        else:
            version = self._workspace.data.add(plain, check)
        self._tell_of(version)
        return version

    def _tell_of(self, version: DataVersion) -> None:
        """Have the dashboard know it. It is added whether the gateway answers or not, and known by the first
        run that uses it then."""
        try:
            self._workspace.gateway.add_data(version)
        except MLOpsError as error:
            _log.debug("the dashboard does not know %s yet: %s", version.path, error.message)

    def dvc_push(self, path: str | Path | None = None) -> DataTransfer:
        """Upload what the project's remote lacks; an interrupted push goes on where it was. Raises
        `DataNotFound`, `DataMissing`, `DataError`."""
        return self._workspace.data.push(_text(path))

    def dvc_pull(
        self, path: str | Path | None = None, *, rev: str | None = None, force: bool = False
    ) -> DataTransfer:
        """Bring back what is missing, verified: the recorded versions, or those of a git revision or (with
        `path`) of a hash, which then are the working tree's. Raises `DataNotFound`, `RevisionNotFound`,
        `DataMissing`, `DataCorrupted`, and `DataModified` unless `force`."""
        return self._workspace.data.pull(_text(path), rev, force=force)

    def dvc_status(self, path: str | Path | None = None, *, remote: bool = False) -> list[DataStatus]:
        """How the working tree, the cache and, when asked, the remote stand to the recorded versions.
        Raises `DataNotFound`, `DataError`."""
        return self._workspace.data.status(_text(path), remote=remote)

    def dvc_checkout(
        self, rev: str | None = None, path: str | Path | None = None, *, force: bool = False
    ) -> list[DataVersion]:
        """Put data of this machine into the working tree as it was recorded, or as of `rev`. Raises
        `DataNotFound`, `RevisionNotFound`, `DataMissing`, and `DataModified` unless `force`."""
        return self._workspace.data.checkout(rev, _text(path), force=force)

    def data_version(self, path: str | Path, rev: str | None = None) -> DataVersion:
        """The recorded version of `path`, or that of a revision. Raises `DataNotFound`,
        `RevisionNotFound`."""
        return self._workspace.data.version(str(path), rev)

    def use_data(self, path: str | Path, rev: str | None = None) -> Path:
        """A local path to exactly that version, read-only, and recorded with the run: the recorded version of
        `path`, or that of a git revision or a hash. Pulled when absent; the working tree stays as it is.
        Outside a run it is recorded with each run that this client starts later. Raises what `dvc_pull`
        raises."""
        place, version = self._workspace.data.view(str(path), rev)
        run = self._current.get()
        if run is None:
            self._used[version.path] = version
        else:
            run.tracking.log(run.key, data=version)
        return place

    def lineage(self, reference: str) -> Lineage:
        """Where a run, a model version (`name:3`, `name@champion`) or a data version (`data/raw`,
        `data/raw@v1.0`, a hash) comes from, and what came of it. Raises `NotFound`, `InvalidInput`."""
        return trace(self._workspace, reference)

    def _record_data(self, run: ActiveRun) -> None:
        """What a run that starts uses: the data this client was asked for outside any run, and the recorded
        versions of what project.toml declares. A run starts whatever is wrong with them."""
        versions = dict(self._used)
        for path in self.project.data_paths:
            if path in versions:
                continue
            try:
                versions[path] = replace(self._workspace.data.version(path), declared=True)
                is_other = differs(self.project.root, versions[path])
            except MLOpsError as error:
                _log.warning("a run does not wholly know its data %s: %s", path, error.message)
                continue
            if is_other:
                _log.warning("%s is not what its recorded version says: add it, or use `use_data`", path)
                run.tracking.log(run.key, tags={"data.modified": "true"})
        for version in versions.values():
            run.tracking.log(run.key, data=version)

    # -- models ---------------------------------------------------------------------------------

    def list_models(self, name: str | None = None) -> list[ModelVersion]:
        """Registered versions, newest first. Raises `ModelNotFound` for an unknown name."""
        return self._workspace.registry.list_versions(name)

    def set_alias(self, name: str, alias: str, version: int | str | ModelVersion | None) -> None:
        """Point an alias (champion, challenger) at a version of a model; it leaves the one that had it.
        Raises `InvalidName`, `InvalidInput`, `ModelNotFound`, `VersionPending`."""
        number = self._version_number(check_model_name(name), version)
        self._workspace.registry.set_alias(name, alias, number)

    def download_model(self, name: str, version: int | str | ModelVersion | None, folder: str | Path) -> Path:
        """Bring a registered version's files into `folder`; returns the MLflow model's folder, with its
        MLmodel. Raises `InvalidInput`, `ModelNotFound`, `VersionPending`."""
        number = self._version_number(check_model_name(name), version)
        return self._workspace.registry.download(name, number, Path(folder))

    def reference(self, name: str, version: int | str | ModelVersion | None) -> Sample:
        """The reference that a registered version was logged with: features by column. Raises `InvalidInput`,
        `ModelNotFound`, `VersionPending`, `ReferenceNotFound`, `SampleUnreadable`, `ServiceUnavailable`."""
        from mlops.monitoring.sample import Sample

        number = self._version_number(check_model_name(name), version)
        with TemporaryDirectory(prefix="reference-") as folder:
            return Sample.read(self._workspace.download_reference(name, number, Path(folder)))

    def deploy_model(
        self,
        name: str,
        version: int | str | ModelVersion | None,
        *,
        replicas: int | tuple[int, int] = 1,
        canary: int | None = None,
        shadow: bool = False,
        why: str = "",
        on_state: Callable[[DeploymentState], None] | None = None,
    ) -> Deployment:
        """Serve a registered version and wait until it answers; what served before serves until then, and
        stays up to roll back to. `version` is a number, or what `log_model` gave. `on_state` is called with
        the first state, and at each change of it. What serves gets the alias `champion`. `replicas` is a
        number, or the least and the most between which it grows and shrinks with its load.

        With `canary`, it answers that many percent of the callers beside the champion; with `shadow`, it is
        asked what the champion is asked, and its answers are dropped. `why` is for the audit.

        Raises `InvalidInput` (a version that is no number, a canary or shadow without a champion),
        `VersionPending`, `ModelNotFound`, `DeploymentFailed` with the traceback, `ServiceUnavailable`.
        """
        if canary is not None and shadow:
            raise InvalidInput("shadow", True, "cannot be a canary, too", remedy="Choose one of them.")
        side = Side.SHADOW if shadow else Side.CHAMPION if canary is None else Side.CANARY
        project = self.project.name
        number = self._version_number(name, version)
        self._workspace.registry.get_version(check_model_name(name), number)
        least, most = replicas if isinstance(replicas, tuple) else (replicas, None)
        wanted = self._gateway.deploy(
            project, name, number, least, most_replicas=most, side=side, weight=canary or 0, why=why
        )
        told: DeploymentState | None = None
        deadline = time.monotonic() + _DEPLOY_TIMEOUT_S
        while time.monotonic() < deadline:
            now = next((row for row in self._gateway.deployments(project) if row.id == wanted.id), None)
            if now is None:
                raise DeploymentNotFound(project, name)
            if on_state is not None and now.state is not told:
                told = now.state
                on_state(told)
            if now.state is DeploymentState.RUNNING:
                if side is Side.CHAMPION:
                    self.set_alias(name, side.value, number)
                return now
            if now.state is DeploymentState.FAILED:
                raise DeploymentFailed(project, name, number, now.error)
            time.sleep(0.2)
        raise ServiceUnavailable(
            "worker", f"version {number} of {name!r} is still {now.state if now else ''}"
        )

    def promote_model(
        self, name: str, version: int | str | ModelVersion | None = None, *, why: str = ""
    ) -> Deployment:
        """Make a version that runs the champion at once, the canary where none is named; the champion stays
        up to roll back to, and the alias `champion` moves.

        Raises `DeploymentNotFound`, `InvalidInput` for a version that does not run, `ServiceUnavailable`.
        """
        number = None if version is None else self._version_number(check_model_name(name), version)
        return self._crowned(name, "promote", version=number, why=why)

    def rollback_model(self, name: str, *, why: str = "") -> Deployment:
        """Make the previous champion the champion again, at once; the alias `champion` moves.

        Raises `DeploymentNotFound`, `InvalidInput` where no previous one is kept, `ServiceUnavailable`.
        """
        return self._crowned(name, "rollback", why=why)

    def weigh_canary(self, name: str, weight: int, *, why: str = "") -> Deployment:
        """Let the canary answer that many percent of the callers, from now on.

        Raises `DeploymentNotFound` where there is none, `InvalidInput`, `ServiceUnavailable`.
        """
        return self._gateway.change(
            self.project.name, check_model_name(name), "weight", weight=weight, why=why
        )

    def end_side(self, name: str, side: Side) -> Deployment:
        """Stop the canary, the shadow or the previous champion alone. Raises `DeploymentNotFound`,
        `InvalidInput`, `ServiceUnavailable`."""
        return self._gateway.end(self.project.name, check_model_name(name), side)

    def _crowned(self, name: str, verb: str, **body: object) -> Deployment:
        made = self._gateway.change(self.project.name, check_model_name(name), verb, **body)
        self.set_alias(name, Side.CHAMPION.value, made.version)
        return made

    def undeploy_model(self, name: str) -> None:
        """Serve the model no more. Raises `DeploymentNotFound`."""
        self._gateway.undeploy(self.project.name, check_model_name(name))

    def deployments(self) -> list[Deployment]:
        """The project's deployments."""
        return self._gateway.deployments(self.project.name)

    def predict(
        self, name: str, inputs: Mapping[str, Any], *, request_id: str | None = None
    ) -> dict[str, Any]:
        """Ask the served model: input name -> nested lists in, output name -> nested lists out. By its
        `request_id` (yours, or one is chosen) an answer is found in the log, and labelled.

        Raises `DeploymentNotFound`, `InvalidInput` naming the input, `ServiceUnavailable`.
        """
        return self._ask(name, inputs, request_id)

    def _ask(self, name: str, asked: Mapping[str, Any] | bytes, request_id: str | None) -> dict[str, Any]:
        if request_id is not None:
            check_request_id(request_id)
        return self._gateway.predict(self.project.name, check_model_name(name), asked, request_id)

    def predict_file(
        self, name: str, file: Path | str | bytes, *, request_id: str | None = None
    ) -> dict[str, Any]:
        """Ask the served model for a whole file, by its path or its bytes: what the project's own function,
        `[serving.files]` of its project.toml, makes of it. `request_id` is as in `predict`.

        Raises `DeploymentNotFound`, `InvalidInput` for a file that cannot be read, or of a model that takes
        none, what the function raises, `ServiceUnavailable`.
        """
        try:
            content = file if isinstance(file, bytes) else Path(file).read_bytes()
        except OSError as error:
            raise InvalidInput(
                "file", file, f"cannot be read: {error.strerror}", remedy="Give a file."
            ) from error
        return self._ask(name, content, request_id)

    def inferences(self, name: str, count: int = 100, *, since: datetime | None = None) -> list[Inference]:
        """The newest of the model's requests in the inference log, newest first: who answered, how fast, and
        inputs and outputs as features. A canary's and a shadow's are among them.

        Raises `ProjectNotFound`, `InvalidInput` for a `count` beyond 1 to 10,000, `ServiceUnavailable`.
        """
        return self._gateway.inferences(self.project.name, check_model_name(name), count, since)

    def drift(
        self, name: str, *, window: str | None = None, version: int | str | ModelVersion | None = None
    ) -> DriftJob:
        """Have a drift report made of the served version, or of `version`, and wait for its rows: inferences
        of the last `window` (`24h`; what project.toml says, if not given) against the reference that it was
        logged with. Evidently's page comes some seconds after.

        Raises `DeploymentNotFound` where nothing serves and no version is given, `InvalidInput`,
        `ReferenceNotFound` and `DriftReportFailed`, which say why none was made, `ServiceUnavailable`.
        """
        project = self.project.name
        number = None if version is None else self._version_number(check_model_name(name), version)
        seconds = None if window is None else read_duration(window, "window")
        job = self._gateway.ask_for_drift(project, check_model_name(name), seconds, number)
        deadline = time.monotonic() + _DRIFT_TIMEOUT_S
        while job.state in (JobState.QUEUED, JobState.RUNNING):
            if time.monotonic() > deadline:
                raise ServiceUnavailable("worker", f"drift report {job.id} is still {job.state}")
            time.sleep(0.2)
            job = self._gateway.drift_job(project, job.id)
        if job.state is JobState.FAILED:
            if job.error_type == ReferenceNotFound.__name__:
                raise ReferenceNotFound(project, name, job.version)
            raise DriftReportFailed(job.error, remedy="Ask for a smaller window, or look at its log.")
        return job

    def drift_reports(self, name: str, count: int = 100) -> list[DriftJob]:
        """The model's drift reports, newest first, without their rows: those that were asked for, and those
        that came by schedule and by count. Raises `InvalidInput`, `ServiceUnavailable`."""
        return self._gateway.drift_jobs(self.project.name, check_model_name(name), count)

    # -- ground truths --------------------------------------------------------------------------

    def log_ground_truth(
        self, request_id: str, truth: Mapping[str, Any], *, model: str | None = None
    ) -> GroundTruthsLogged:
        """Log what turned out to be right of a request: output, as the inference log names it, to a value or
        to a list with one for each row of the request. It may come before the inference is in the log, or
        weeks after, and again; what contradicts an earlier one takes its place, and both are kept. `model` is
        needed only where two were asked under one id.

        Raises `InvalidInput` naming the field, `InvalidName`, `ServiceUnavailable`.
        """
        return self.log_ground_truths([{"request_id": request_id, "truth": truth, "model": model}])

    def log_ground_truths(self, stated: Iterable[Mapping[str, Any]]) -> GroundTruthsLogged:
        """Log those of many requests, each with `request_id`, `truth` and perhaps `model`: by the thousand,
        each thousand whole or not at all. Raises as `log_ground_truth`."""
        told = GroundTruthsLogged()
        for some in batched(map(plain_label, stated), MOST_AT_ONCE):
            told += self._gateway.log_ground_truths(self.project.name, some)
        return told

    def ground_truths(self, request_id: str) -> list[GroundTruth]:
        """What is known of a request, by model and output; empty where nothing is. Raises `InvalidInput`,
        `ServiceUnavailable`."""
        return self._gateway.ground_truths(self.project.name, check_request_id(request_id))

    def performance(
        self,
        name: str,
        *,
        window: str = "24h",
        every: str | None = None,
        version: int | str | ModelVersion | None = None,
    ) -> PerformanceReport:
        """How right the model was in the time just gone, as far as ground truths say: by version and side,
        with 95 % intervals; with `every` (`1d`) over time; canary and shadow beside the champion. Of one
        `version`, if given.

        Raises `InvalidInput`, also where that is too much to compare, `ServiceUnavailable`.
        """
        number = None if version is None else self._version_number(check_model_name(name), version)
        seconds = None if every is None else read_duration(every, "every")
        return self._gateway.performance(
            self.project.name, check_model_name(name), read_duration(window, "window"), seconds, number
        )

    def database_url(self, name: str) -> str:
        """The URL of a database of the project's own on the platform's Postgres, for tools that keep their
        state in SQL; made at the first call. It holds a password: never print it. Raises `InvalidInput`,
        `ServiceUnavailable`."""
        return self._workspace.database_url(name)

    @property
    def dashboard_url(self) -> str:
        """The dashboard over all projects."""
        return self._workspace.installation.gateway_url + "/"

    @property
    def token_file(self) -> Path:
        """The 0600 file that holds the project's bearer token for the gateway."""
        return self._workspace.token_file

    @property
    def mlflow_password_file(self) -> Path:
        """The 0600 file that holds the password for MLflow's own pages; the user is the namespace."""
        return self._workspace.mlflow_password_file

    def _version_number(self, name: str, version: int | str | ModelVersion | None) -> int:
        run_id, number = "(not named)", version
        if isinstance(version, ModelVersion):
            if version.name != name:
                raise InvalidInput("version", version.name, f"is a version of another model than {name!r}")
            run_id, number = version.run_id, version.version
        if number is None:
            raise VersionPending(self.project.name, name, run_id)
        try:
            return int(number)  # type: ignore[arg-type]  # the case is handled
        except (TypeError, ValueError):
            raise InvalidInput(
                "version",
                number,
                "is no version",
                remedy="Give the number that registration gave, such as 3.",
            ) from None

    @property
    def _gateway(self) -> Gateway:
        return self._workspace.gateway


def _interval_s(config: MLOpsConfig, wanted: bool | None) -> float:
    """How often a run's machine is sampled, in seconds; 0 is never."""
    if wanted is None:
        return config.hardware_interval_s
    default: float = MLOpsConfig.model_fields["hardware_interval_s"].default
    return (config.hardware_interval_s or default) if wanted else 0.0


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
