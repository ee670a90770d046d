"""The platform's nouns: frozen, JSON-friendly, free of any tool's types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ProjectWorkspace:
    """What one project owns on the platform."""

    project_name: str
    namespace: str
    """MLflow's workspace, and the prefix of everything else that is the project's."""
    mlflow_experiment_id: str
    dvc_remote_path: str
    airflow_dag_prefix: str
    serving_endpoint: str
    """Path below the gateway's URL, `/projects/<name>`."""
    root: Path = Path()
    """The project's folder on this machine."""

    @classmethod
    def of(
        cls, project_name: str, namespace: str, mlflow_experiment_id: str, dvc_remote_path: str, root: Path
    ) -> ProjectWorkspace:
        """The workspace with what follows from the project's name filled in."""
        return cls(
            project_name=project_name,
            namespace=namespace,
            mlflow_experiment_id=mlflow_experiment_id,
            dvc_remote_path=dvc_remote_path,
            airflow_dag_prefix=f"{project_name}__",
            serving_endpoint=f"/projects/{project_name}",
            root=root,
        )


class RunStatus(StrEnum):
    """MLflow's run states."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


RUN_KEY, MODEL_KEY, VERSION_KEY = "mlops.run_key", "mlops.model_key", "mlops.version_key"
"""Tags that hold the keys of runs, logged models and model versions at the server: what was journaled is
found again by them, so that it is made exactly once."""
USED_KEY = "mlops.data.used."
"""Before a data version's hash: tag of a run that used it, with its path."""
PENDING_VERSION = "pending"
"""In place of a model version's number, where MLflow wants a text, until the server gave one."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one project."""

    key: str
    """Ours: known as soon as the run starts, and permanent. Of a run that plain MLflow made, MLflow's id."""
    project: str
    name: str
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None = None
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each metric."""
    tags: dict[str, str] = field(default_factory=dict)
    url: str = ""
    """Its page in MLflow's own UI; empty until it is there."""
    mlflow_id: str | None = None
    """MLflow's id; None until the run was delivered."""
    data: tuple[DataVersion, ...] = ()
    """The data it used; empty until the run was delivered."""

    @property
    def id(self) -> str:
        """MLflow's id once there is one, else the key; every verb takes either."""
        return self.mlflow_id or self.key


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What one expectation of a project found when its data was added."""

    name: str
    passed: bool
    detail: str = ""
    """Why it failed, or what was looked at."""

    @staticmethod
    def listed(found: Any) -> tuple[DataCheck, ...]:
        """The checks in a list as JSON has it; what is not in our shape is left out."""
        return tuple(
            DataCheck(str(each["name"]), each["passed"] is True, str(each.get("detail", "")))
            for each in (found if isinstance(found, list) else [])
            if isinstance(each, dict) and "name" in each and "passed" in each
        )


@dataclass(frozen=True, slots=True)
class DataVersion:
    """One version of a data path, as the data store knows it."""

    project: str
    path: str
    """Relative to the project's folder, POSIX separators."""
    hash: str
    """DVC's content hash (`<md5>.dir` of a folder)."""
    size_bytes: int
    files: int
    git_revision: str | None
    """None outside a git repository, or before its first commit."""
    git_dirty: bool
    """Whether tracked files of the repository differ from the revision."""
    remote: str
    checks: tuple[DataCheck, ...] = ()
    """What the project's expectations found when this version was added."""
    declared: bool = False
    """Of a run's data: that its project declares the path, and the run was not seen to read it."""


@dataclass(frozen=True, slots=True)
class DataTransfer:
    """What a push or a pull moved."""

    objects: int
    """Files, and one listing for each folder."""
    size_bytes: int


class DataState(StrEnum):
    """How the working tree stands to the recorded version of a data path."""

    UNCHANGED = "unchanged"
    MODIFIED = "modified"
    MISSING = "missing"
    """Nothing of it is in the working tree."""


@dataclass(frozen=True, slots=True)
class DataStatus:
    """How one data path stands to its recorded version, its cache and its remote. Counts are of files."""

    path: str
    hash: str
    state: DataState
    added: int = 0
    modified: int = 0
    deleted: int = 0
    uncached: int = 0
    """Files of the recorded version that this machine's cache lacks."""
    unpushed: int | None = None
    """Files of the recorded version that the remote lacks; None when it was not asked."""


@dataclass(frozen=True, slots=True)
class DataGarbage:
    """What nothing needs of one cache: no project that uses it, no git ref, no run."""

    cache: str
    projects: tuple[str, ...]
    """Those that use the cache."""
    objects: int
    size_bytes: int
    unpushed: int | None
    """How many of the objects no project's remote has: removed, they are gone for good. None when a remote
    did not answer."""
    views: int = 0
    """Copies of versions that were made for `use_data`, and that are not needed either."""
    removed: bool = False


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model."""

    project: str
    name: str
    version: int | None
    """None while it is pending: registered in the journal, not yet at the server."""
    run_id: str
    flavor: str
    """onnx, torch, sklearn: what MLflow logged it as."""
    created_at: datetime
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    source: str = ""
    """MLflow's URI of the model's files."""

    @property
    def pending(self) -> bool:
        """Whether it waits in the journal, without a number; it cannot be deployed yet."""
        return self.version is None


class DeploymentState(StrEnum):
    """A deployment's way: pending → packaging → starting → running, or failed; then stopping, and gone."""

    PENDING = "pending"
    PACKAGING = "packaging"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    STOPPING = "stopping"


class Side(StrEnum):
    """What a deployment is to its endpoint. The champion answers; a canary answers a share of the callers;
    a shadow is asked as well, and its answers are dropped; the previous champion stays up to roll back to."""

    CHAMPION = "champion"
    CANARY = "canary"
    SHADOW = "shadow"
    PREVIOUS = "previous"


MAX_REPLICAS = 64
"""Of one deployment."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model version that serves, or is on its way there."""

    id: int
    project: str
    model: str
    version: int
    state: DeploymentState
    replicas: int
    url: str
    """Full URL of its predict route."""
    created_at: datetime
    updated_at: datetime
    bento: str = ""
    """Tag of its Bento, once packaged."""
    error: str = ""
    """The traceback, when it failed; why it was withdrawn, when it was a canary."""
    side: Side = Side.CHAMPION
    weight: int = 0
    """Percent of the callers that a canary answers."""
    most_replicas: int | None = None
    """How many replicas it grows to with its load; None where their number stays."""

    @property
    def scale(self) -> str:
        """Its number of replicas for people: `2`, or `1..4` where it grows and shrinks."""
        return str(self.replicas) if self.most_replicas is None else f"{self.replicas}..{self.most_replicas}"


@dataclass(frozen=True, slots=True)
class Replica:
    """Where one replica of a deployment listens."""

    deployment_id: int
    url: str


@dataclass(frozen=True, slots=True)
class Target:
    """A running deployment and its replicas."""

    deployment: Deployment
    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers for a model."""

    champion: Target
    canary: Target | None = None
    shadow: Target | None = None
    log_share: float = 1.0
    """Of its inferences, how many go into the log."""


@dataclass(frozen=True, slots=True)
class Inference:
    """One request as the inference log keeps it."""

    at: datetime
    project: str
    model: str
    version: int
    """That answered."""
    side: Side
    request_id: str
    status: int
    """Of the answer, as HTTP has it."""
    latency_s: float
    """Until the replica's answer was there."""
    features: Mapping[str, Any] = field(default_factory=dict)
    """`rows` that were asked, `model_s` that the model itself took, `inputs` and `outputs`: values by
    feature, one for each row that was kept. Empty where the model did not answer."""


class Severity(StrEnum):
    """How much an alert asks for."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertState(StrEnum):
    """Where an alert is on its way."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    """Somebody said that they look after it; it still goes on."""
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong, from when a rule found it until it is over."""

    id: int
    rule: str
    """The rule's name, one of its project."""
    kind: str
    """What the rule looks at, as `error_rate`."""
    project: str
    """Empty for what is the platform's."""
    subject: str
    """What it is about: a model, a service, a run; empty for the project as a whole."""
    severity: Severity
    state: AlertState
    message: str
    """For people, in one line."""
    began_at: datetime
    ended_at: datetime | None = None
    value: float | None = None
    """That the rule judged."""
    threshold: float | None = None
    acknowledged_by: str = ""


class ColumnKind(StrEnum):
    """How a column of the inference log is looked at."""

    NUMERICAL = "numerical"
    CATEGORICAL = "categorical"
    TEXT = "text"
    """Strings of which most are new: judged by their length."""


class DriftCheck(StrEnum):
    """What of a column a row of a drift report judges."""

    DISTRIBUTION = "distribution"
    """Drift proper: of the data for an input, of the predictions for an output."""
    MISSING = "missing"
    """A greater share of missing values."""
    NEW_CATEGORIES = "new_categories"
    """Categories that the reference does not have."""
    OUT_OF_RANGE = "out_of_range"
    """Numbers below the least or above the greatest of the reference."""
    CONSTANT = "constant"
    """One value alone, where the reference has several. There is a row only where it is so."""


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One row of a drift report: one check of one column."""

    column: str
    """A feature's name, as the inference log has it."""
    side: str
    """`inputs` or `outputs`."""
    check: DriftCheck
    kind: ColumnKind
    method: str
    """What the score is, in words; empty where nothing could be judged."""
    score: float | None
    """None where nothing could be judged."""
    threshold: float | None
    """From here on it has drifted. It depends on how many rows and how many checks there were."""
    drifted: bool
    reference_missing: float
    """Share of the rows without a value, 0 to 1."""
    current_missing: float
    reason: str = ""
    """Why it could not be judged."""
    detail: str = ""
    """For people: the new categories, the range, the shares."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """A window of inferences against the reference of the version that answered them."""

    reference_rows: int
    current_rows: int
    inferences: int
    """Requests of the window; a request may have given several rows."""
    since: datetime | None
    """Of the window's first inference; None of an empty window."""
    until: datetime | None
    version: int | None
    """The model version that answered; None where the window does not say, or names several."""
    columns: tuple[ColumnDrift, ...]

    @property
    def drifted(self) -> bool:
        """Whether any row drifted. Without a shift that happens to at most one window in
        `1 / DriftSettings.false_alarms`."""
        return any(row.drifted for row in self.columns)

    @property
    def judged(self) -> int:
        """How many columns could be judged, whichever check of them."""
        return len({(row.side, row.column) for row in self.columns if row.score is not None})

    @property
    def drifted_columns(self) -> int:
        """How many columns have a check that drifted."""
        return len({(row.side, row.column) for row in self.columns if row.drifted})

    @property
    def share(self) -> float:
        """Of the columns that could be judged, those of which a check drifted; 0 where none could be."""
        return self.drifted_columns / self.judged if self.judged else 0.0


class DriftTrigger(StrEnum):
    """Why a drift report is made."""

    REQUEST = "request"
    """Somebody asked for it."""
    SCHEDULE = "schedule"
    """The time for it had come."""
    COUNT = "count"
    """So many inferences had come since the last one."""


class JobState(StrEnum):
    """Where a job of the worker's is on its way."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Verdict(StrEnum):
    """How a version does beside another, or beside its reference."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "unclear"
    """Chance explains the difference."""


@dataclass(frozen=True, slots=True)
class PerformanceChange:
    """One figure of how right a version was in a window, beside that of its reference."""

    output: str
    metric: str
    """`accuracy`, `mae`, `rmse` or `bias`."""
    reference: float
    current: float
    low: float
    """Between `low` and `high` lies `current - reference` with 95 % confidence."""
    high: float
    verdict: Verdict
    reference_rows: int
    rows: int
    """Of the window that were judged,"""
    requests: int
    """of so many requests."""

    @classmethod
    def read(cls, stated: Mapping[str, Any]) -> PerformanceChange:
        """From its JSON."""
        return cls(**{**stated, "verdict": Verdict(stated["verdict"])})


@dataclass(frozen=True, slots=True)
class DriftJob:
    """A drift report of a model version, from when it is asked for."""

    id: int
    project: str
    model: str
    version: int
    trigger: DriftTrigger
    asked_by: str
    """Who asked; empty where it was due by itself."""
    state: JobState
    asked_at: datetime
    since: datetime
    """The window: inferences from then on,"""
    until: datetime
    """and before then."""
    ended_at: datetime | None = None
    error: str = ""
    """Why it failed."""
    error_type: str = ""
    """The error's class."""
    has_page: bool = False
    """Whether Evidently's page of it is there: it comes some seconds after the rows."""
    evidently: str = ""
    """URL of it in Evidently's own UI; empty where that does not run, or does not have it."""
    has_performance: bool = False
    """Whether there is Evidently's page of how right the version was: it takes ground truths of the
    window."""
    performance: tuple[PerformanceChange, ...] = ()
    """How right it was in the window beside its reference: it takes ground truths of both."""
    reference_rows: int = 0
    current_rows: int = 0
    inferences: int = 0
    judged: int = 0
    """Columns that could be judged."""
    drifted: int = 0
    """Columns of which a check drifted."""
    columns: tuple[ColumnDrift, ...] = ()
    """The rows; of lists of jobs, those that drifted or none, as the list says."""

    @property
    def share(self) -> float:
        """Of the columns that could be judged, those that drifted; 0 where none could be."""
        return self.drifted / self.judged if self.judged else 0.0


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """What turned out to be right of an output of a request."""

    request_id: str
    model: str
    """Empty where none was named: it counts for whichever was asked under that id."""
    output: str
    truths: tuple[Any, ...]
    """A number, text or truth value for each row of the request; None where it is not known."""
    logged_at: datetime
    logged_by: str = ""
    earlier: tuple[tuple[Any, ...], ...] = ()
    """What was logged before, and contradicted by what followed it; the oldest first."""


@dataclass(frozen=True, slots=True)
class GroundTruthsLogged:
    """What became of ground truths that were logged, counted by request and output."""

    new: int = 0
    repeated: int = 0
    """The same was there already."""
    contradicted: int = 0
    """Something else was there: the new counts from now on, and the old is kept beside it."""

    def __add__(self, other: GroundTruthsLogged) -> GroundTruthsLogged:
        return GroundTruthsLogged(
            self.new + other.new, self.repeated + other.repeated, self.contradicted + other.contradicted
        )


@dataclass(frozen=True, slots=True)
class Performance:
    """One figure of how right a version was in one output."""

    version: int
    side: Side
    output: str
    metric: str
    """`accuracy`, `f1`, `precision`, `recall`; `mae`, `rmse`, `bias`, `r2`."""
    value: float
    low: float | None
    """Between `low` and `high` the figure lies with 95 % confidence; None where that is not known."""
    high: float | None
    rows: int
    """That were judged,"""
    requests: int
    """of so many requests."""
    since: datetime
    """Of the time it is about: from then on,"""
    until: datetime
    """and before then."""


@dataclass(frozen=True, slots=True)
class PerformanceDifference:
    """A canary or shadow beside the champion, over the time in which both were asked."""

    champion: Performance
    other: Performance
    low: float
    """Between `low` and `high` lies `other - champion` with 95 % confidence."""
    high: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """How right a model was, as far as ground truths say."""

    project: str
    model: str
    since: datetime
    until: datetime
    labelled: int
    """Answers of the window of which a row could be compared with a ground truth, a canary's and a shadow's
    among them."""
    contradicted: int
    """With a ground truth that contradicted an earlier one."""
    unusable: int
    """Rows without a prediction or a truth to compare: an output of another name, another number of rows."""
    rows: tuple[Performance, ...]
    """Of the whole window."""
    over_time: tuple[Performance, ...] = ()
    """Of its parts, oldest first; without f1, precision and recall."""
    differences: tuple[PerformanceDifference, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be judged, and why."""


class ServiceState(StrEnum):
    """A service's state as the supervisor sees it."""

    STOPPED = "stopped"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    EXTERNAL = "external"
    """A server elsewhere that answers; probed, not started."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service of the stack."""

    name: str
    state: ServiceState
    detail: str = ""
    """Why, when it is not healthy."""
    pid: int | None = None
    address: str = ""
    """URL or host:port, without credentials."""
    restarts: int = 0
    since: datetime | None = None
    """When it entered this state."""
    record: ServiceRecord | None = None
    """What was recorded of it; None where that was not asked for, or nothing is."""


class RestartCause(StrEnum):
    """Why the supervisor replaced a service's process, in a word that tells strangers nothing."""

    EXITED = "exited"
    """It ended by itself, or was asked to."""
    KILLED = "killed"
    """A signal ended it."""
    SILENT = "silent"
    """It lived, and did not answer any more."""
    NOT_STARTED = "not_started"
    """It could not be started, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Restart:
    """A process of a service that ended, and was replaced."""

    service: str
    at: datetime
    """When it was found to have ended."""
    cause: RestartCause
    detail: str = ""
    """For people: with what it ended, and its last words."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one supervisor saw within one span of time, up to now or to the span's end."""

    life: str
    """Which supervisor: a new one begins a new life."""
    began: datetime
    """Of the span."""
    seconds: Mapping[str, tuple[float, float]]
    """Service -> for how many s it answered, and for how many it did not."""
    restarts: tuple[Restart, ...] = ()


@dataclass(frozen=True, slots=True)
class Availability:
    """How a service answered within a window of time that ends now."""

    share: float | None
    """Of the time in which somebody looked, 0 to 1; None where nobody did."""
    down_s: float
    """For how many s it did not answer."""
    observed: float
    """Share of the window in which somebody looked, 0 to 1: not while the stack was stopped, or the machine
    off."""

    @classmethod
    def of(cls, up_s: float, down_s: float, window_s: float) -> Availability:
        """From the s in which it answered and did not, of a window of so many s."""
        seen = up_s + down_s
        return cls(up_s / seen if seen > 0 else None, down_s, min(1.0, seen / window_s))


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """What was recorded of a service, as of a moment."""

    as_of: datetime
    restarts_day: int
    """Within the last 24 hours."""
    restarts: tuple[Restart, ...]
    """The last few of the last month, newest first."""
    day: Availability
    """Of the last 24 hours."""
    week: Availability
    """Of the last 7 days."""
    month: Availability
    """Of the last 30 days."""


class LogLevel(StrEnum):
    """How much a line of a log matters, from the least on."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record of a service's log, whatever program wrote it."""

    time: datetime
    """In UTC. Of a line that does not say, that of the line before."""
    service: str
    level: LogLevel
    message: str
    event: str = ""
    """What happened, by a name that programs look for, as `deployment.failed`; empty where it has none."""
    project: str = ""
    request_id: str = ""
    logger: str = ""
    """The part of the program that wrote it."""
    error: str = ""
    """A traceback, or what else belongs to the message."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further facts, by name."""
