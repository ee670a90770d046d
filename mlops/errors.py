"""Every error the platform raises.

MLOpsError
├── ConfigError              a setting or file is wrong before anything starts
│   ├── ProjectFileError     project.toml: missing, unreadable, unknown or missing keys
│   ├── InvalidName          a name that is not a safe identifier
│   └── BackendUnknown       no backend of that name; names those there are
├── NotFound                 what was asked for is not there
│   ├── ProjectNotFound
│   ├── TokenNotFound        the project has no token of that name
│   ├── RunNotFound
│   ├── ArtifactNotFound     no such file among a run's artifacts
│   ├── MetricNotFound       no run has the metric, or one run has not
│   ├── ModelNotFound
│   ├── ModelFileNotFound    a model version without that file
│   ├── ReferenceNotFound    a model version that was logged without a reference
│   ├── DeploymentNotFound
│   ├── DataNotFound
│   ├── AlertNotFound        none of that number goes on
│   ├── ViewNotFound         no saved view of runs of that number
│   ├── DriftReportNotFound  none of that number, or none with a page
│   └── RevisionNotFound     no such git revision, or no such version of the data
├── Conflict                 the state forbids it
│   ├── ProjectExists        the name or namespace is another folder's
│   ├── NoActiveRun          a run's verb outside any run (also: a thread started outside it)
│   ├── RunEnded
│   ├── RunOpen              the run is still being written
│   ├── DataChanging         a file is being written while its folder is added
│   ├── DataModified         the working tree holds changes that are in no version
│   └── VersionPending       a model version that waits in the journal has no number yet
├── Refused                  the caller may not
│   ├── Unauthorized         no token, or one that is not known
│   └── Forbidden            a token of another project or a lesser role
├── InvalidInput             a value that cannot be taken; names field, value and remedy
├── ServiceError             a service of the platform
│   ├── ServiceUnavailable   it does not answer
│   │   └── SchemaMismatch   the platform's tables are of another version
│   ├── ServiceStartFailed   it did not become healthy; carries the tail of its log
│   ├── PortTaken            a port that a setting demands is another program's
│   └── DataDirectoryBroken  half-made or foreign data directory
├── DeploymentFailed         a version that did not come up; carries its traceback
├── NotDelivered             an alert channel did not reach its receiver, or was refused
├── DataError                the data store refused: locked, damaged, its remote away
│   ├── DataMissing          files that are in no cache and not on the remote
│   ├── DataCorrupted        files whose content is not what their hash says
│   ├── DataChecksFailed     an expectation of the project on its data is not met
│   └── SampleUnreadable     a file that holds no sample of features, or is damaged
├── DriftReportFailed        a drift report that did not come to an end; carries its process's log
└── JournalError             a run's journal cannot be written or read

Errors carry their fields as attributes and say what to do next. HTTP statuses are given in
`mlops.gateway.errors`, exit codes in `mlops.cli.main`; neither is known here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class MLOpsError(Exception):
    """Base of all; `remedy` is the next step in one sentence."""

    remedy: str = ""

    def __init__(self, message: str, *, remedy: str = "", **fields: Any) -> None:
        """Keep `fields` as attributes and as `fields`, for JSON and for callers."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.remedy
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(name)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (Ray, executors); keyword-only state must survive.
        return _rebuild, (type(self), self.message, self.remedy, self.fields)

    def to_json(self) -> dict[str, Any]:
        """The one JSON shape of an error, in HTTP answers and `--json` output."""
        return {
            "error": {
                "type": type(self).__name__,
                "message": self.message,
                "remedy": self.remedy,
                "fields": self.fields,
            }
        }

    @classmethod
    def from_json(cls, body: object) -> MLOpsError:
        """The error that `to_json` described; of the base class when the type is not known here."""
        error = body.get("error") if isinstance(body, dict) else None
        if not isinstance(error, dict):
            return MLOpsError(f"an answer in no known shape: {_short(body)}")
        fields = error.get("fields")
        known = {kind.__name__: kind for kind in _subclasses(MLOpsError)}
        kind = known.get(str(error.get("type")), MLOpsError)
        return _rebuild(
            kind,
            str(error.get("message")),
            str(error.get("remedy") or ""),
            fields if isinstance(fields, dict) else {},
        )

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.remedy}" if self.remedy else self.message


def _rebuild(cls: type[MLOpsError], message: str, remedy: str, fields: dict[str, Any]) -> MLOpsError:
    # Not by `__init__`: a stranger's answer may call a field "message" or "remedy".
    error = cls.__new__(cls, message)
    error.message, error.remedy, error.fields = message, remedy, dict(fields)
    return error


def _subclasses(kind: type[MLOpsError]) -> list[type[MLOpsError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _subclasses(child))]


class ConfigError(MLOpsError):
    """A setting or a file is wrong before anything starts."""


class ProjectFileError(ConfigError):
    """project.toml cannot be used."""

    def __init__(self, path: Path | str, problem: str, *, remedy: str = "") -> None:
        super().__init__(f"{path}: {problem}", remedy=remedy, path=str(path), problem=problem)


class InvalidName(ConfigError):
    """A name that is not a safe identifier."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(
            f"{field} {value!r} is not a safe name",
            remedy=f"Use {rule}.",
            field=field,
            value=str(value),
        )


class BackendUnknown(ConfigError):
    """No backend of that name for the capability, or its extra is not installed."""

    def __init__(self, capability: str, name: str, known: list[str]) -> None:
        super().__init__(
            f"no {capability} backend is called {name!r}",
            remedy=f"Set MLOPS_{capability.upper()}_BACKEND to one of: {', '.join(sorted(known))}.",
            capability=capability,
            name=name,
            known=known,
        )


class NotFound(MLOpsError):
    """What was asked for is not there."""


class ProjectNotFound(NotFound):
    """No project of that name is registered here, or no project.toml was found."""

    def __init__(self, project: str, *, remedy: str = "") -> None:
        super().__init__(
            f"project {project!r} is not registered" if project else "no project was named or found",
            remedy=remedy or "Run `efficientai-toolkit mlops:register <folder of its project.toml>`.",
            project=project,
        )


class TokenNotFound(NotFound):
    """The project has no token of that name."""

    def __init__(self, project: str, name: str) -> None:
        super().__init__(
            f"project {project!r} has no token {name!r}",
            remedy=f"See `efficientai-toolkit mlops:tokens list --project {project}`.",
            project=project,
            name=name,
        )


class RunNotFound(NotFound):
    """No such run in this project."""

    def __init__(self, project: str, run_id: str) -> None:
        super().__init__(
            f"project {project!r} has no run {run_id!r}",
            remedy="List its runs with `client.search_runs()`.",
            project=project,
            run_id=run_id,
        )


class ArtifactNotFound(NotFound):
    """No such file or folder among a run's artifacts."""

    def __init__(self, project: str, run_id: str, path: str) -> None:
        super().__init__(
            f"run {run_id!r} of project {project!r} has no artifact {path!r}",
            remedy="List them on the run's page.",
            project=project,
            run_id=run_id,
            path=path,
        )


class MetricNotFound(NotFound):
    """No FINISHED run of the project has a number for the metric, or one run has no such metric."""

    def __init__(self, project: str, metric: str, run_id: str | None = None) -> None:
        where = "no finished run with" if run_id is None else f"run {run_id!r}, which has no"
        super().__init__(
            f"project {project!r} has {where} metric {metric!r}",
            remedy="See the metrics there are in `client.search_runs().frame()`.",
            project=project,
            metric=metric,
            run_id=run_id,
        )


class ModelNotFound(NotFound):
    """No such registered model, or no such version of it."""

    def __init__(self, project: str, name: str, version: int | None = None) -> None:
        what = f"model {name!r}" if version is None else f"version {version} of model {name!r}"
        super().__init__(
            f"project {project!r} has no {what}",
            remedy="Register one with `client.log_model(..., register=True)`.",
            project=project,
            name=name,
            version=version,
        )


class ModelFileNotFound(NotFound):
    """The model version has no such file."""

    def __init__(self, project: str, model: str, version: int, path: str) -> None:
        super().__init__(
            f"version {version} of model {model!r} in project {project!r} has no file {path!r}",
            remedy="See the files it has with `client.download_model`.",
            project=project,
            model=model,
            version=version,
            path=path,
        )


class ReferenceNotFound(NotFound):
    """The model version was logged without a reference."""

    def __init__(self, project: str, model: str, version: int) -> None:
        super().__init__(
            f"version {version} of model {model!r} in project {project!r} has no reference",
            remedy="Train one with `client.log_model(..., reference=(inputs, outputs))`.",
            project=project,
            model=model,
            version=version,
        )


class AlertNotFound(NotFound):
    """No alert of that number goes on, in what the caller may see."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"no alert {number} goes on", remedy="`efficientai-toolkit mlops:alerts list` has those that do.",
            number=number,
        )  # fmt: skip


class ViewNotFound(NotFound):
    """No saved view of that number in what the caller may see."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"there is no saved view {number}", remedy="`GET /api/views` has those there are.", number=number
        )


class DriftReportNotFound(NotFound):
    """No drift report of that number in what the caller may see, or none with a page."""

    def __init__(self, number: int, what: str = "drift report") -> None:
        super().__init__(
            f"there is no {what} {number}",
            remedy="`efficientai-toolkit mlops:drift <model> --history` has those that there are.",
            number=number,
        )


class DeploymentNotFound(NotFound):
    """The model is not deployed in this project."""

    def __init__(self, project: str, model: str) -> None:
        super().__init__(
            f"model {model!r} of project {project!r} is not deployed",
            remedy=f"Run `efficientai-toolkit mlops:deploy {model} <version> --project {project}`.",
            project=project,
            model=model,
        )


class DataNotFound(NotFound):
    """No such data path in this project."""

    def __init__(self, project: str, path: str, *, remedy: str = "") -> None:
        super().__init__(
            f"project {project!r} has no data at {path!r}",
            remedy=remedy or "Give a path inside the project's folder that exists.",
            project=project,
            path=path,
        )


class RevisionNotFound(NotFound):
    """No such git revision, or none with the data path."""

    def __init__(self, project: str, rev: str, path: str | None = None) -> None:
        what = f"{path!r} has no version" if path else "there is no revision"
        super().__init__(
            f"{what} {rev!r} in project {project!r}",
            remedy="Give a git revision (tag, branch, commit) that is in this clone, or a data hash.",
            project=project,
            rev=rev,
            path=path,
        )


class Conflict(MLOpsError):
    """The present state forbids it."""


class ProjectExists(Conflict):
    """The name or the namespace belongs to a project in another folder."""

    def __init__(self, project: str, root: str) -> None:
        super().__init__(
            f"project {project!r} is registered already, from {root}",
            remedy="Choose another name, or register that folder again.",
            project=project,
            root=root,
        )


class NoActiveRun(Conflict):
    """A run's verb was called outside any run of this context."""

    def __init__(self, project: str, verb: str) -> None:
        super().__init__(
            f"{verb} was called outside a run of project {project!r}",
            remedy=(
                "Call it inside `with client.start_run():`. A thread does not inherit the run: start"
                " one in it, or run the thread's function by `contextvars.copy_context().run`."
            ),
            project=project,
            verb=verb,
        )


class RunEnded(Conflict):
    """The run has ended and takes no more records."""

    def __init__(self, project: str, run_id: str) -> None:
        super().__init__(
            f"run {run_id!r} of project {project!r} has ended",
            remedy="Start a new run.",
            project=project,
            run_id=run_id,
        )


class RunOpen(Conflict):
    """The run is still being written, or what was written of it still waits in the journal."""

    def __init__(self, project: str, run_id: str) -> None:
        super().__init__(
            f"run {run_id!r} of project {project!r} is still being written, or waits in the journal",
            remedy="End it first; `efficientai-toolkit mlops:sync --status` shows what is pending.",
            project=project,
            run_id=run_id,
        )


class DataChanging(Conflict):
    """A file is being written while the folder it is in is added."""

    def __init__(self, project: str, path: str, file: str, problem: str) -> None:
        super().__init__(
            f"{file} {problem}: {path!r} of project {project!r} was not added",
            remedy="Wait until whatever writes it is done, then add it again.",
            project=project,
            path=path,
            file=file,
        )


class DataModified(Conflict):
    """The working tree holds changes that are in no version, and would be lost."""

    def __init__(self, project: str, path: str, files: list[str]) -> None:
        super().__init__(
            f"{path!r} of project {project!r} has changes that are in no version: {_some(files)}",
            remedy="Add it with `mlops:dvc-add` first, or give up the changes with `--force` (force=True).",
            project=project,
            path=path,
            files=files[:_FILES_KEPT],
        )


class VersionPending(Conflict):
    """A model version that was registered offline, and is not at the server yet."""

    def __init__(self, project: str, name: str, run_key: str = "") -> None:
        run = f" from run {run_key!r}" if run_key else ""
        super().__init__(
            f"the version of {name!r}{run} of project {project!r} waits in the journal: it has no number yet",
            remedy="Run `efficientai-toolkit mlops:sync`, then use the number that registration gave.",
            project=project,
            name=name,
            run_key=run_key,
        )


class Refused(MLOpsError):
    """The caller may not."""


class Unauthorized(Refused):
    """No token, or one that is not known."""

    def __init__(self) -> None:
        super().__init__(
            "no valid token was given",
            remedy="Send `Authorization: Bearer <token>`; the token's file is shown by `mlops:projects`.",
        )


class Forbidden(Refused):
    """The token is good, but not for this."""

    def __init__(self, what: str, *, remedy: str = "Use a token of that project, or an admin's.") -> None:
        super().__init__(f"this token may not {what}", remedy=remedy)


class InvalidInput(MLOpsError):
    """A value that cannot be taken."""

    def __init__(self, field: str, value: object, problem: str, *, remedy: str = "") -> None:
        super().__init__(
            f"{field}={_short(value)}: {problem}", remedy=remedy, field=field, value=_short(value)
        )


def _short(value: object, limit: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class ServiceError(MLOpsError):
    """A service of the platform."""


class ServiceUnavailable(ServiceError):
    """A service does not answer."""

    def __init__(self, service: str, detail: str = "", *, remedy: str = "") -> None:
        super().__init__(
            f"{service} does not answer{': ' + detail if detail else ''}",
            remedy=remedy or "Run `efficientai-toolkit mlops:start`, or `mlops:status` to see what is wrong.",
            service=service,
        )


class SchemaMismatch(ServiceUnavailable):
    """The platform's tables are not those that this program knows."""

    def __init__(self, detail: str) -> None:
        ServiceError.__init__(
            self,
            f"the tables in postgres are of another version of the toolkit: {detail}",
            remedy="Services renew them as they start: `efficientai-toolkit mlops:stop`, then `mlops:start`.",
            service="postgres",
        )


class ServiceStartFailed(ServiceError):
    """A service did not become healthy in time."""

    def __init__(self, service: str, detail: str, log: str = "") -> None:
        super().__init__(
            f"{service} did not start: {detail}" + (f"\n{log}" if log else ""),
            remedy=f"Read `efficientai-toolkit mlops:logs {service}`, then `mlops:doctor`.",
            service=service,
        )


class PortTaken(ServiceError):
    """A port that a setting demands is another program's."""

    def __init__(self, service: str, port: int, setting: str) -> None:
        super().__init__(
            f"port {port}, which {setting} demands for {service}, is taken by another program",
            remedy=f"Free the port, or unset {setting} so that a free one is chosen.",
            service=service,
            port=port,
        )


class DataDirectoryBroken(ServiceError):
    """A data directory is half-made, or made by something else."""

    def __init__(self, service: str, path: Path, problem: str, *, remedy: str) -> None:
        super().__init__(f"{service}: {path} {problem}", remedy=remedy, service=service, path=str(path))


class DeploymentFailed(MLOpsError):
    """A version did not come up; what served before still serves."""

    def __init__(self, project: str, model: str, version: int, traceback: str) -> None:
        super().__init__(
            f"version {version} of {model!r} in project {project!r} did not come up\n{traceback}",
            remedy="Mend the model and deploy a new version; an earlier version keeps serving.",
            project=project,
            model=model,
            version=version,
        )


class NotDelivered(MLOpsError):
    """An alert channel did not reach its receiver, or was refused; `again` says whether another try may
    help."""

    def __init__(self, channel: str, why: str, again: bool) -> None:
        super().__init__(
            f"alert channel {channel!r} did not deliver: {why}",
            remedy="See that its receiver is up; another try may help."
            if again
            else "Mend the channel's settings (docs/alerts.md), or what its receiver refuses.",
            channel=channel,
            why=why,
            again=again,
        )


class DriftReportFailed(MLOpsError):
    """A drift report's process did not come to an end that can be used."""

    def __init__(self, why: str, log: str = "", *, remedy: str) -> None:
        super().__init__(
            f"the drift report was not made: {why}" + (f"\n{log}" if log else ""), remedy=remedy, why=why
        )


class DataError(MLOpsError):
    """The data store refused."""


class DataMissing(DataError):
    """Files of a version are not in the cache here, and not on the remote where that was asked."""

    def __init__(self, project: str, remote: str | None, files: list[str]) -> None:
        where = "this machine's cache" if remote is None else f"neither this machine nor the remote {remote}"
        verb = "lacks" if remote is None else "has"
        super().__init__(
            f"{where} {verb} {_some(files)} of project {project!r}",
            remedy="Bring it here with `mlops:dvc-pull`."
            if remote is None
            else "Push from where the data was added; `mlops:dvc-status --remote` shows what is missing.",
            project=project,
            remote=remote,
            files=files[:_FILES_KEPT],
        )


class DataCorrupted(DataError):
    """The content of files is not what their hash says."""

    def __init__(self, project: str, remote: str, files: list[str]) -> None:
        super().__init__(
            f"damaged on the remote {remote}: {_some(files)} of project {project!r};"
            " the content is not what the hash says, and was not taken",
            remedy="Delete the named objects there, and push again from where the data was added.",
            project=project,
            remote=remote,
            files=files[:_FILES_KEPT],
        )


class DataChecksFailed(DataError):
    """An expectation of the project on its data is not met."""

    def __init__(self, project: str, path: str, failed: list[str]) -> None:
        super().__init__(
            f"{path!r} of project {project!r} was not added, since checks failed:\n  "
            + "\n  ".join(failed[:_FILES_KEPT]),
            remedy="Mend the data; or add it all the same with `--allow-failed-checks`"
            " (allow_failed_checks=True), which is recorded with the version.",
            project=project,
            path=path,
            failed=failed[:_FILES_KEPT],
        )


class SampleUnreadable(DataError):
    """A file that holds no sample of features, or is damaged."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} is no sample of features: {problem}",
            remedy="Give a file that `Sample.write` made; a damaged one is made again by its training run.",
            path=str(path),
            problem=problem,
        )


_FILES_KEPT = 100


def _some(files: list[str], most: int = 3) -> str:
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(files[:most]) + more


class JournalError(MLOpsError):
    """A run's journal cannot be written or read."""

    def __init__(self, path: Path, problem: str, *, remedy: str) -> None:
        super().__init__(f"the journal {path}: {problem}", remedy=remedy, path=str(path), problem=problem)
