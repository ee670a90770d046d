"""What rules find in given facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.entities import (
    ColumnDrift,
    ColumnKind,
    Deployment,
    DeploymentState,
    DriftCheck,
    DriftJob,
    DriftTrigger,
    JobState,
    Performance,
    Run,
    RunStatus,
    ServiceState,
    ServiceStatus,
    Side,
)
from mlops.monitoring.readings import Facts, readings
from mlops.monitoring.rules import Kind, Rule
from mlops.store.traffic import Traffic

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=3)


def deployment(number: int, model: str = "m", **what: Any) -> Deployment:
    stated = {"state": DeploymentState.RUNNING, "created_at": LONG_AGO} | what
    return Deployment(
        id=number, project="p", model=model, version=number, replicas=1, url="", updated_at=LONG_AGO, **stated
    )


def answered(requests: int, errors: int = 0, seconds: float = 0.01) -> Traffic:
    traffic = Traffic()
    for number in range(requests):
        traffic.record(seconds, failed=number < errors)
    return traffic


def facts(traffic: dict[int, Traffic], *deployments: Deployment) -> Facts:
    return Facts(NOW, deployments={"p": deployments}, traffic=lambda _: traffic)


def found(kind: Kind, given: Facts, **what: Any) -> dict[str, bool | None]:
    return {each.subject: each.wrong for each in readings(Rule("r", kind, "p", **what), given)}


@pytest.mark.parametrize(
    ("requests", "errors", "wrong"),
    [(100, 6, True), (100, 5, False), (0, 0, False), (3, 0, False), (3, 3, None), (19, 19, None)],
)
def test_error_rate(requests: int, errors: int, wrong: bool | None) -> None:
    given = facts({1: answered(requests, errors)}, deployment(1))
    assert found(Kind.ERROR_RATE, given, threshold=0.05) == {"m": wrong}


@pytest.mark.parametrize(
    ("requests", "seconds", "wrong"), [(100, 0.5, True), (100, 0.01, False), (5, 0.5, None), (0, 0.0, False)]
)
def test_latency(requests: int, seconds: float, wrong: bool | None) -> None:
    given = facts({1: answered(requests, seconds=seconds)}, deployment(1))
    assert found(Kind.LATENCY_P95, given, threshold=0.2) == {"m": wrong}


def test_sides_of_a_model_count_together_but_a_shadow() -> None:
    given = facts(
        {1: answered(50), 2: answered(50, 20), 3: answered(50, 50)},
        deployment(1),
        deployment(2, side=Side.CANARY),
        deployment(3, side=Side.SHADOW),
    )
    (reading,) = readings(Rule("r", Kind.ERROR_RATE, "p", threshold=0.1), given)
    assert reading.value == pytest.approx(0.2)
    assert "20.0% of 100 inferences of m failed" in reading.message


def test_no_traffic_waits_for_a_whole_window() -> None:
    given = facts(
        {2: answered(1)}, deployment(1), deployment(2, "asked"), deployment(3, "new", created_at=NOW)
    )
    assert found(Kind.NO_TRAFFIC, given) == {"m": True, "asked": False, "new": False}


def test_what_does_not_run_is_not_judged() -> None:
    given = facts({}, deployment(1, state=DeploymentState.FAILED))
    assert found(Kind.NO_TRAFFIC, given) == found(Kind.ERROR_RATE, given, threshold=0.1) == {}


def test_another_project_and_another_subject_are_not_judged() -> None:
    given = facts({}, deployment(1, "a"), deployment(2, "b"))
    assert found(Kind.NO_TRAFFIC, given, subject="b") == {"b": True}
    assert readings(Rule("r", Kind.NO_TRAFFIC, "other"), given) == []


def test_services() -> None:
    given = Facts(NOW, services=[ServiceStatus(each.value, each, "why") for each in ServiceState])
    assert {each.subject: each.wrong for each in readings(Rule("r", Kind.SERVICE_DOWN), given)} == {
        "stopped": True, "starting": None, "healthy": False, "unhealthy": True, "external": False,
    }  # fmt: skip


def run(number: int, status: RunStatus, **times: datetime) -> Run:
    name = f"run-{number}"
    return Run(
        key=name, mlflow_id=name, project="p", name=name, status=status, **({"started_at": NOW} | times)
    )


def test_runs() -> None:
    hour = timedelta(hours=1)
    given = Facts(
        NOW,
        runs={
            "p": [
                run(1, RunStatus.FAILED, ended_at=NOW - hour / 2),
                run(2, RunStatus.FAILED, ended_at=NOW - 2 * hour),
                run(3, RunStatus.RUNNING, started_at=NOW - 30 * hour),
                run(4, RunStatus.RUNNING, started_at=NOW - hour),
                run(5, RunStatus.FINISHED),
            ]
        },
    )
    assert found(Kind.RUN_FAILED, given, window_s=3600.0) == {"run-1": True}
    assert found(Kind.RUN_STUCK, given, threshold=24.0) == {"run-3": True, "run-4": False}


@pytest.mark.parametrize(("free", "wrong"), [(0.05, True), (0.1, False), (None, None)])
def test_disk(free: float | None, wrong: bool | None) -> None:
    rule = Rule("r", Kind.DISK_LOW, threshold=0.1)
    assert [each.wrong for each in readings(rule, Facts(NOW, disk_free=free))] == [wrong]


@pytest.mark.parametrize("hot", [True, False, None])
def test_thermal(hot: bool | None) -> None:
    (reading,) = readings(Rule("r", Kind.THERMAL), Facts(NOW, is_too_hot=hot))
    assert reading.wrong is hot


def test_journal() -> None:
    (reading,) = readings(Rule("r", Kind.JOURNAL), Facts(NOW, undelivered={"drilling": 2}))
    assert (reading.subject, reading.wrong, reading.message) == (
        "drilling",
        True,
        "2 runs of drilling wait for delivery",
    )


def job(
    number: int, trigger: DriftTrigger, drifted: int, judged: int, *columns: str, model: str = "m"
) -> DriftJob:
    rows = tuple(
        ColumnDrift(
            column,
            "inputs",
            DriftCheck.DISTRIBUTION,
            ColumnKind.NUMERICAL,
            "distance",
            0.31,
            0.2,
            True,
            0.0,
            0.0,
        )
        for column in columns
    )
    return DriftJob(
        number, "p", model, 3, trigger, "", JobState.DONE, NOW, LONG_AGO, NOW,
        drifted=drifted, judged=judged, inferences=500, columns=rows,
    )  # fmt: skip


def drift(*jobs: DriftJob) -> Facts:
    return Facts(NOW, drift={"p": jobs})


def test_drift_share_is_that_of_the_report_that_found_most() -> None:
    given = drift(
        job(7, DriftTrigger.SCHEDULE, 1, 10), job(8, DriftTrigger.COUNT, 4, 10),
        job(9, DriftTrigger.COUNT, 0, 10, model="still"), job(10, DriftTrigger.COUNT, 0, 0, model="unasked"),
    )  # fmt: skip
    assert found(Kind.DRIFT_SHARE, given, threshold=0.0) == {"m": True, "still": False, "unasked": None}
    assert found(Kind.DRIFT_SHARE, given, threshold=0.4) == {"m": False, "still": False, "unasked": None}
    reading = readings(Rule("r", Kind.DRIFT_SHARE, "p", "m", threshold=0.0), given)[0]
    assert reading.value == 0.4
    assert reading.message == "4 of 10 columns of m version 3 drifted in 500 inferences (drift report 8)"
    assert found(Kind.DRIFT_SHARE, Facts(NOW), threshold=0.0) == {}


def test_column_drift_is_one_of_each_column() -> None:
    given = drift(
        job(7, DriftTrigger.SCHEDULE, 1, 10, "wear"), job(8, DriftTrigger.COUNT, 2, 10, "wear", "feed"),
        job(9, DriftTrigger.COUNT, 1, 10, "wear", model="other"),
    )  # fmt: skip
    assert found(Kind.COLUMN_DRIFT, given) == {"m:wear": True, "m:feed": True, "other:wear": True}
    (reading,) = readings(Rule("r", Kind.COLUMN_DRIFT, "p", "m:feed"), given)
    assert reading.value == 0.31
    said = "feed (inputs) of m version 3 drifted: distribution 0.31, threshold 0.2 (drift report 8)"
    assert reading.message == said
    long = drift(job(7, DriftTrigger.COUNT, 1, 10, "x" * 500))
    assert [len(subject) for subject in found(Kind.COLUMN_DRIFT, long)] == [200]


# -- performance --------------------------------------------------------------------------------

ACCURATE = Rule("accurate", Kind.PERFORMANCE, "p", threshold=0.9, window_s=86_400.0, metric="accuracy")


def how_right(value: float, requests: int = 100, **what: Any) -> Performance:
    made = Performance(1, Side.CHAMPION, "label", "accuracy", value, None, None, 100, requests, LONG_AGO, NOW)
    return replace(made, **what)


def performing(*rows: Performance) -> Facts:
    """Facts of version 1 as champion and version 2 as canary."""
    served = (deployment(1, side=Side.CHAMPION), deployment(2, side=Side.CANARY))
    return Facts(NOW, deployments={"p": served}, performance=lambda *_: rows)


def test_the_champions_performance_is_judged_by_output() -> None:
    rows = (
        how_right(0.8), how_right(0.95, output="other"), how_right(0.1, version=2, side=Side.CANARY),
        how_right(0.1, version=7), how_right(0.1, metric="f1"), how_right(0.1, side=Side.SHADOW),
    )  # fmt: skip
    found = readings(ACCURATE, performing(*rows))
    assert found is not None
    assert [(each.subject, each.wrong, each.value) for each in found] == [
        ("m:label", True, 0.8), ("m:other", False, 0.95),
    ]  # fmt: skip
    assert "accuracy of label, m version 1, is 0.8 in 100 labelled requests" in found[0].message
    one = readings(replace(ACCURATE, subject="m:other"), performing(*rows))
    assert one is not None
    assert [each.subject for each in one] == ["m:other"]


def test_of_few_labelled_requests_nothing_is_said() -> None:
    (found,) = readings(ACCURATE, performing(how_right(0.1, requests=19))) or []
    assert found.wrong is None


def test_before_anybody_looked_it_cannot_be_told() -> None:
    served = {"p": (deployment(1, side=Side.CHAMPION),)}
    assert readings(ACCURATE, Facts(NOW, deployments=served, performance=lambda *_: None)) is None
    assert readings(ACCURATE, Facts(NOW, performance=lambda *_: None)) == []
