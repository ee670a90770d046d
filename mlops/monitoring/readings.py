"""What rules find in the state of things."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mlops.entities import (
    ColumnDrift,
    Deployment,
    DeploymentState,
    DriftJob,
    Performance,
    Run,
    RunStatus,
    ServiceState,
    ServiceStatus,
    Side,
)
from mlops.monitoring.performance import is_worse
from mlops.monitoring.rules import Kind, Rule
from mlops.store.traffic import Traffic

_LONGEST_SUBJECT = 200
_LEAST_REQUESTS = 20
"""Of a window, before a share or a percentile of it is judged: one failure among three is no rate."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rule found of one subject."""

    subject: str
    wrong: bool | None
    """None where it cannot be told for now: an alert stays as it is."""
    message: str
    """For people, in one line."""
    value: float | None = None


@dataclass(frozen=True)
class Facts:
    """The state of things at one moment, as the worker gathered it."""

    now: datetime
    deployments: Mapping[str, Sequence[Deployment]] = field(default_factory=dict)
    """By project."""
    traffic: Callable[[float], Mapping[int, Traffic]] = lambda _: {}
    """What each deployment answered in so many of the last seconds."""
    drift: Mapping[str, Sequence[DriftJob]] = field(default_factory=dict)
    """Of each project the newest reports of what serves, by schedule and by count, with the rows that
    drifted."""
    services: Sequence[ServiceStatus] = ()
    runs: Mapping[str, Sequence[Run]] = field(default_factory=dict)
    """The latest of each project."""
    disk_free: float | None = None
    """Share of the disk that holds the installation; None where it cannot be read."""
    is_too_hot: bool | None = None
    """Whether the machine's thermal state is critical; None where there is none."""
    undelivered: Mapping[str, int] = field(default_factory=dict)
    """Project -> how many of its runs wait in the journal, and no living process delivers them."""
    restarts: Callable[[float], Mapping[str, int]] = lambda _: {}
    """Service -> how often it was restarted in so many of the last seconds."""
    performance: Callable[[str, str, float], Sequence[Performance] | None] = lambda *_: ()
    """Of a project's model in so many of the last seconds; None where nobody has looked yet."""


def readings(rule: Rule, facts: Facts) -> list[Reading] | None:
    """What the rule finds, of each of its subjects: what it does not name is not there any more. None where
    it cannot be told for now what there is."""
    found = _READERS[rule.kind](rule, facts)
    return None if found is None else [each for each in found if rule.subject in ("", each.subject)]


def _of_traffic(rule: Rule, facts: Facts) -> list[Reading]:
    answered = facts.traffic(rule.window_s)
    models: dict[str, Traffic] = {}
    for each in facts.deployments.get(rule.project, ()):
        # A shadow's answers reach nobody.
        if each.state is DeploymentState.RUNNING and each.side is not Side.SHADOW:
            models.setdefault(each.model, Traffic()).add(answered.get(each.id, Traffic()))
    return [_READ_TRAFFIC[rule.kind](rule, model, traffic) for model, traffic in sorted(models.items())]


def _error_rate(rule: Rule, model: str, traffic: Traffic) -> Reading:
    said = f"{traffic.error_rate:.1%} of {traffic.requests} inferences of {model} failed{_within(rule)}"
    if traffic.requests < _LEAST_REQUESTS:
        return Reading(model, None if traffic.errors else False, said, traffic.error_rate)
    return Reading(model, traffic.error_rate > (rule.threshold or 0.0), said, traffic.error_rate)


def _latency(rule: Rule, model: str, traffic: Traffic) -> Reading:
    if traffic.requests < _LEAST_REQUESTS:
        return Reading(
            model, None if traffic.requests else False, f"{traffic.requests} inferences of {model}"
        )
    slow = traffic.quantile(0.95)
    said = f"95 % of the inferences of {model} took up to {slow:g} s{_within(rule)}"
    return Reading(model, slow > (rule.threshold or 0.0), said, slow)


def _no_traffic(rule: Rule, facts: Facts) -> list[Reading]:
    since = facts.now - timedelta(seconds=rule.window_s)
    served: dict[str, datetime] = {}
    for each in facts.deployments.get(rule.project, ()):
        if each.state is DeploymentState.RUNNING and each.created_at is not None:
            served[each.model] = min(each.created_at, served.get(each.model, each.created_at))
    return [
        Reading(each.subject, each.wrong and served[each.subject] < since, each.message, each.value)
        for each in _of_traffic(rule, facts)
        if each.subject in served
    ]


def _silent(rule: Rule, model: str, traffic: Traffic) -> Reading:
    said = f"{traffic.requests or 'no'} inferences of {model}{_within(rule)}"
    return Reading(model, traffic.requests == 0, said, float(traffic.requests))


def _drift_share(rule: Rule, facts: Facts) -> list[Reading]:
    """Of a model's newest reports the one that found most: a quick shift shows in the inferences just gone, a
    slow one in the whole window."""
    models: dict[str, list[DriftJob]] = {}
    for job in facts.drift.get(rule.project, ()):
        models.setdefault(job.model, []).append(job)
    return [_read_share(rule, model, jobs) for model, jobs in sorted(models.items())]


def _read_share(rule: Rule, model: str, jobs: Sequence[DriftJob]) -> Reading:
    judged = [job for job in jobs if job.judged]
    if not judged:
        return Reading(model, None, f"no column of {model} could be judged")
    worst = max(judged, key=lambda job: job.share)
    said = (
        f"{worst.drifted} of {worst.judged} columns of {model} version {worst.version} drifted in"
        f" {worst.inferences} inferences (drift report {worst.id})"
    )
    return Reading(model, worst.share > (rule.threshold or 0.0), said, worst.share)


def _column_drift(rule: Rule, facts: Facts) -> list[Reading]:
    found: dict[str, Reading] = {}
    for job in facts.drift.get(rule.project, ()):
        for row in job.columns:
            subject = f"{job.model}:{row.column}"[:_LONGEST_SUBJECT]
            found.setdefault(subject, Reading(subject, True, _read_column(job, row), row.score))
    return list(found.values())


def _read_column(job: DriftJob, row: ColumnDrift) -> str:
    return (
        f"{row.column} ({row.side}) of {job.model} version {job.version} drifted: {row.check.value}"
        f" {row.score:.3g}, threshold {row.threshold:.3g} (drift report {job.id})"
    )


def _performance(rule: Rule, facts: Facts) -> list[Reading] | None:
    found = []
    for each in facts.deployments.get(rule.project, ()):
        if (each.side, each.state) != (Side.CHAMPION, DeploymentState.RUNNING):
            continue
        rows = facts.performance(rule.project, each.model, rule.window_s)
        if rows is None:
            return None
        found += [
            _read_performance(rule, each.model, row)
            for row in rows
            if (row.version, row.side, row.metric) == (each.version, Side.CHAMPION, rule.metric)
        ]
    return found


def _read_performance(rule: Rule, model: str, row: Performance) -> Reading:
    subject = f"{model}:{row.output}"[:_LONGEST_SUBJECT]
    said = (
        f"{row.metric} of {row.output}, {model} version {row.version}, is {row.value:.3g} in {row.requests}"
        f" labelled requests{_within(rule)}"
    )
    if row.requests < _LEAST_REQUESTS:
        return Reading(subject, None, said, row.value)
    return Reading(subject, is_worse(row.metric, row.value, rule.threshold or 0.0), said, row.value)


def _service_down(_: Rule, facts: Facts) -> list[Reading]:
    # A service that is starting is neither: it has its time, and `for_s` counts on from when it was down.
    states = {ServiceState.HEALTHY: False, ServiceState.EXTERNAL: False, ServiceState.STARTING: None}
    return [
        Reading(
            each.name, states.get(each.state, True),
            f"service {each.name} is {each.state.value}" + (f": {each.detail}" if each.detail else ""),
        )
        for each in facts.services
    ]  # fmt: skip


def _restarted_often(rule: Rule, facts: Facts) -> list[Reading]:
    counts = facts.restarts(rule.window_s)
    return [
        Reading(
            each.name, counts.get(each.name, 0) >= (rule.threshold or 1.0),
            f"service {each.name} was restarted {counts.get(each.name, 0)} times{_within(rule)}",
            float(counts.get(each.name, 0)),
        )
        for each in facts.services
    ]  # fmt: skip


def _run_failed(rule: Rule, facts: Facts) -> list[Reading]:
    since = facts.now - timedelta(seconds=rule.window_s)
    return [
        Reading(run.id, True, f"run {run.name or run.id} failed")
        for run in facts.runs.get(rule.project, ())
        if run.status is RunStatus.FAILED and (run.ended_at or run.started_at) >= since
    ]


def _run_stuck(rule: Rule, facts: Facts) -> list[Reading]:
    found = []
    for run in facts.runs.get(rule.project, ()):
        if run.status is RunStatus.RUNNING:
            hours = (facts.now - run.started_at).total_seconds() / 3600
            said = f"run {run.name or run.id} goes on since {hours:.1f} h"
            found.append(Reading(run.id, hours > (rule.threshold or 0.0), said, hours))
    return found


def _disk_low(rule: Rule, facts: Facts) -> list[Reading]:
    if facts.disk_free is None:
        return [Reading("", None, "the disk's free space cannot be read")]
    said = f"{facts.disk_free:.1%} of the disk is free"
    return [Reading("", facts.disk_free < (rule.threshold or 0.0), said, facts.disk_free)]


def _thermal(_: Rule, facts: Facts) -> list[Reading]:
    said = "the machine is critically hot" if facts.is_too_hot else "the machine is not too hot"
    return [Reading("", facts.is_too_hot, said)]


def _journal(_: Rule, facts: Facts) -> list[Reading]:
    return [
        Reading(project, True, f"{count} runs of {project} wait for delivery", float(count))
        for project, count in sorted(facts.undelivered.items())
    ]


def _within(rule: Rule) -> str:
    return f" within {rule.window_s:g} s"


_READ_TRAFFIC: Mapping[Kind, Callable[[Rule, str, Traffic], Reading]] = {
    Kind.ERROR_RATE: _error_rate,
    Kind.LATENCY_P95: _latency,
    Kind.NO_TRAFFIC: _silent,
}
_READERS: Mapping[Kind, Callable[[Rule, Facts], list[Reading] | None]] = {
    **dict.fromkeys(_READ_TRAFFIC, _of_traffic),
    Kind.NO_TRAFFIC: _no_traffic,
    Kind.DRIFT_SHARE: _drift_share,
    Kind.COLUMN_DRIFT: _column_drift,
    Kind.PERFORMANCE: _performance,
    Kind.SERVICE_DOWN: _service_down,
    Kind.RESTARTED_OFTEN: _restarted_often,
    Kind.RUN_FAILED: _run_failed,
    Kind.RUN_STUCK: _run_stuck,
    Kind.DISK_LOW: _disk_low,
    Kind.THERMAL: _thermal,
    Kind.JOURNAL: _journal,
}
