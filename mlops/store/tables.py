"""The tables of the database `mlops`, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

metadata = MetaData()


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


projects = Table(
    "projects",
    metadata,
    Column("name", Text, primary_key=True),
    Column("namespace", Text, nullable=False, unique=True),
    Column("root", Text, nullable=False),
    Column("mlflow_experiment_id", Text, nullable=False),
    Column("dvc_remote_path", Text, nullable=False),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'")),
    _now("registered_at"),
    Column("disk_bytes", BigInteger),  # NULL: not measured yet
)

tokens = Table(
    "tokens",
    metadata,
    Column("hash", Text, primary_key=True),  # sha256 of the token: the token itself is in its file alone
    Column("role", Text, nullable=False),
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE")),
    _now("created_at"),
    Column("name", Text, nullable=False, server_default=""),  # "": the project's own, or the admin's
    Index("tokens_by_name", "project", "name", unique=True, postgresql_where=text("name <> ''")),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("replicas", Integer, nullable=False),
    Column("most_replicas", Integer),
    Column("bento", Text, nullable=False, server_default=""),
    Column("error", Text, nullable=False, server_default=""),
    Column("side", Text, nullable=False, server_default="champion"),
    Column("weight", Integer, nullable=False, server_default="0"),
    _now("created_at"),
    _now("updated_at"),
    Index("deployments_by_model", "project", "model"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("deployment_id", Integer, ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
    Column("url", Text, primary_key=True),
)

# What MLflow's alias `champion` was when it was last looked at: a change of it is an event.
followed_aliases = Table(
    "followed_aliases",
    metadata,
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("stamp", BigInteger, nullable=False),
    Column("wanted", Integer),  # the version that the alias is still to be moved to
    Column("command", BigInteger),  # the transaction of the command that wants it, modulo 2^32
)

# Versions of registered models, as MLflow has them (`mlops.store.model_versions`).
model_versions = Table(
    "model_versions",
    metadata,
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("user", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("location", Text, nullable=False),  # MLflow's URI of its files
    Column("run_location", Text, nullable=False),  # MLflow's URI of its run's artifacts
    Column("tags", JSONB, nullable=False),
    Column("aliases", ARRAY(Text), nullable=False),
    PrimaryKeyConstraint("project", "model", "version"),
    Index(
        "model_versions_with_aliases", "project", "model", postgresql_where=text("cardinality(aliases) > 0")
    ),
)

# What each deployment answered in windows of ten seconds, summed over all gateways.
traffic = Table(
    "traffic",
    metadata,
    Column("deployment_id", Integer, ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
    Column("began", DateTime(timezone=True), primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("latencies", ARRAY(Integer), nullable=False),  # requests by bucket, as traffic.EDGES_S has them
)

# A sample of what endpoints were asked and answered, as features (`mlops.store.partitions`).
inferences = Table(
    "inferences",
    metadata,
    Column("id", BigInteger, Identity(), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("side", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("features", JSONB),
    PrimaryKeyConstraint("at", "id"),
    Index("inferences_of_model", "project", "model", "at"),
    Index("inferences_of_request", "project", "request_id"),
    postgresql_partition_by="RANGE (at)",
)

# What turned out to be right of an output of a request, which may be logged before the inference is.
ground_truths = Table(
    "ground_truths",
    metadata,
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
    Column("request_id", Text, nullable=False),
    Column("model", Text, nullable=False),  # empty: whichever was asked
    Column("output", Text, nullable=False),
    Column("truths", JSONB, nullable=False),  # a list: one for each row of the request
    Column("earlier", JSONB, nullable=False, server_default=text("'[]'")),  # lists that it contradicted
    _now("logged_at"),
    Column("logged_by", Text, nullable=False),
    PrimaryKeyConstraint("project", "request_id", "model", "output"),
    Index("ground_truths_by_time", "logged_at"),
)

# The index of all runs, as MLflow has them (`mlops.store.run_index`).
runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("tags", JSONB, nullable=False, server_default=text("'{}'")),
    Column("experiment", Text, nullable=False, server_default=""),
    Column("user", Text, nullable=False, server_default=""),
    Column("params", JSONB, nullable=False, server_default=text("'{}'")),
    Column("words", TSVECTOR, nullable=False, server_default=""),
    Index("runs_by_start", text("started_at DESC"), text("id DESC")),
    Index("runs_by_project", "project", text("started_at DESC"), text("id DESC")),
    Index("runs_by_status", "status", text("started_at DESC"), text("id DESC")),
    Index("runs_params", "params", postgresql_using="gin"),
    Index("runs_tags", "tags", postgresql_using="gin"),
    Index("runs_words", "words", postgresql_using="gin"),
)
Index(
    "runs_failed", func.coalesce(runs.c.ended_at, runs.c.started_at),
    postgresql_where=runs.c.status == text("'FAILED'"),
)  # fmt: skip
Index(
    "runs_measured", runs.c.started_at.desc(), runs.c.id.desc(),
    postgresql_where=text("tags ? 'hardware.os'"),
)  # fmt: skip

# Of each metric of a run its last, least and greatest value: NULL where that is NaN.
run_metrics = Table(
    "run_metrics",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("last", Double),
    Column("min", Double),
    Column("max", Double),
    Column("step", BigInteger, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    PrimaryKeyConstraint("run_id", "key"),
    Index("run_metrics_by_last", "key", "last", "run_id"),
    Index("run_metrics_by_min", "key", "min", "run_id"),
    Index("run_metrics_by_max", "key", "max", "run_id"),
    Index("run_metrics_of_project", "project", "key"),
)
Index(
    "run_metrics_energy", run_metrics.c.time_ms, postgresql_include=["project", "last"],
    postgresql_where=run_metrics.c.key == text("'system/energy_joules'"),
)  # fmt: skip
Index(
    "run_metrics_uncounted", run_metrics.c.project, run_metrics.c.run_id,
    postgresql_where=text("points = 0"),
)  # fmt: skip

# The course of each run's primary metric (`mlops.store.run_sparks`).
run_sparks = Table(
    "run_sparks",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, nullable=False),
    Column("width", BigInteger, nullable=False),
    Column("least", ARRAY(Double), nullable=False),
    Column("greatest", ARRAY(Double), nullable=False),
)

# Versions of projects' data, as their runs and who added them told.
data_versions = Table(
    "data_versions",
    metadata,
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("git_revision", Text, nullable=False),
    Column("remote", Text, nullable=False),
    Column("checks", JSONB, nullable=False),  # a list of name, passed and detail
    Column("seen_at", DateTime(timezone=True), nullable=False),  # first
    PrimaryKeyConstraint("project", "path", "hash"),
    Index("data_versions_by_time", "project", text("seen_at DESC")),
    Index("data_versions_by_path", "project", "path", text("seen_at DESC")),
)

# Which of them a run used, or its project only declares.
run_data = Table(
    "run_data",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("project", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("declared", Boolean, nullable=False),
    PrimaryKeyConstraint("run_id", "path", "hash"),
    Index("run_data_of_version", "project", "path", "hash", "declared"),
)

# Names of the metrics, params and tags that a project's runs have.
run_names = Table(
    "run_names",
    metadata,
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("project", "kind", "name"),
)

# Questions for runs that somebody gave a name.
run_views = Table(
    "run_views",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE")),  # None: of all projects
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    _now("made_at"),
)
Index("run_views_by_name", func.coalesce(run_views.c.project, ""), run_views.c.name, unique=True)

# Projects of which all runs are in the index.
indexed_projects = Table(
    "indexed_projects",
    metadata,
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), primary_key=True),
    Column("namespace", Text, nullable=False),  # empty: they are still to be read
    Column("read_at", DateTime(timezone=True)),  # NULL where MLflow's tables are read, not its API
    Column("problem", Text, nullable=False, server_default=""),  # why they could not be read since
)

# How far MLflow's tables were read, in one row.
run_index = Table(
    "run_index",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False, server_default=""),
    Column("horizon", BigInteger),
    Column("indexed_at", DateTime(timezone=True)),
    Column("rebuild_asked_at", DateTime(timezone=True)),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _now("at"),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("project", Text),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    Index("audit_of_model", "project", text("(detail ->> 'model')"), text("id DESC")),
)

# What a rule found wrong; `pending` until it was wrong for long enough, with `ended_at` once it is over.
alerts = Table(
    "alerts",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE")),  # None: the platform's
    Column("rule", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("value", Double),
    Column("threshold", Double),
    Column("channels", ARRAY(Text), nullable=False),
    Column("tells_end", Boolean, nullable=False),
    Column("told", Boolean, nullable=False, server_default=text("false")),
    Column("told_end", Boolean, nullable=False, server_default=text("false")),
    Column("acknowledged_by", Text, nullable=False, server_default=""),
    Column("began_at", DateTime(timezone=True), nullable=False),
    Column("fired_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Index("alerts_by_end", "ended_at"),
)
Index(
    "alerts_going_on", func.coalesce(alerts.c.project, ""), alerts.c.rule, alerts.c.subject,
    unique=True, postgresql_where=alerts.c.ended_at.is_(None),
)  # fmt: skip

# What of an alert is told by which channel: at most once each.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("alert_id", BigInteger, ForeignKey("alerts.id", ondelete="CASCADE"), nullable=False),
    Column("event", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),  # told, or given up
    Column("delivered", Boolean, nullable=False, server_default=text("false")),
    Column("error", Text, nullable=False, server_default=""),
    UniqueConstraint("alert_id", "event", "channel"),
    Index("deliveries_due", "next_at", postgresql_where=text("ended_at IS NULL")),
)

silences = Table(
    "silences",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE")),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
    Column("by", Text, nullable=False),
)

# Rules that were added by command; those of a project.toml are in its project's settings.
alert_rules = Table(
    "alert_rules",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE")),
    Column("name", Text, nullable=False),
    Column("stated", JSONB, nullable=False),
)
Index("alert_rules_by_name", func.coalesce(alert_rules.c.project, ""), alert_rules.c.name, unique=True)

# For how long each service answered, and did not, within spans of time, as a supervisor's life saw it.
probes = Table(
    "probes",
    metadata,
    Column("installation", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("began", DateTime(timezone=True), nullable=False),
    Column("life", Text, nullable=False),
    Column("up_s", Double, nullable=False),
    Column("down_s", Double, nullable=False),
    PrimaryKeyConstraint("installation", "began", "service", "life"),
)

restarts = Table(
    "restarts",
    metadata,
    Column("installation", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("cause", Text, nullable=False),
    Column("detail", Text, nullable=False),
    PrimaryKeyConstraint("installation", "at", "service"),
)

# Drift reports of model versions: first jobs of the worker, then what they found.
drift_jobs = Table(
    "drift_jobs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("project", Text, ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("asked_by", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _now("asked_at"),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("error", Text, nullable=False, server_default=""),
    Column("error_type", Text, nullable=False, server_default=""),
    Column("has_page", Boolean, nullable=False, server_default=text("false")),
    Column("has_performance", Boolean, nullable=False, server_default=text("false")),
    Column("performance", JSONB, nullable=False, server_default=text("'[]'")),
    Column("reference_rows", Integer, nullable=False, server_default="0"),
    Column("current_rows", Integer, nullable=False, server_default="0"),
    Column("inferences", Integer, nullable=False, server_default="0"),
    Column("judged", Integer, nullable=False, server_default="0"),
    Column("drifted", Integer, nullable=False, server_default="0"),
    Index("drift_jobs_of_model", "project", "model", "version", "trigger", text("id DESC")),
    Index("drift_jobs_of_project", "project", text("id DESC")),
    Index("drift_jobs_by_time", "asked_at"),
)
# What comes by itself waits once, however long it waits.
Index(
    "drift_jobs_due", drift_jobs.c.project, drift_jobs.c.model, drift_jobs.c.version, drift_jobs.c.trigger,
    unique=True, postgresql_where=text("state IN ('queued', 'running') AND trigger <> 'request'"),
)  # fmt: skip
Index("drift_jobs_open", drift_jobs.c.id, postgresql_where=text("state IN ('queued', 'running')"))

drift_columns = Table(
    "drift_columns",
    metadata,
    Column("job_id", BigInteger, ForeignKey("drift_jobs.id", ondelete="CASCADE"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("column", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("check", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("score", Double),
    Column("threshold", Double),
    Column("drifted", Boolean, nullable=False),
    Column("reference_missing", Double, nullable=False),
    Column("current_missing", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    PrimaryKeyConstraint("job_id", "place"),
)
