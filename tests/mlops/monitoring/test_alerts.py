"""Rules, and alerts from their beginning to their end, over a real Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.entities import (
    AlertState,
    Deployment,
    DeploymentState,
    Performance,
    ProjectWorkspace,
    ServiceState,
    ServiceStatus,
    Severity,
    Side,
)
from mlops.errors import AlertNotFound
from mlops.monitoring.alerts import evaluate
from mlops.monitoring.readings import Facts
from mlops.monitoring.rules import Kind, Rule
from mlops.store.store import Store

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DOWN = Rule("service-down", Kind.SERVICE_DOWN, severity=Severity.CRITICAL, for_s=15, cooldown_s=60)


@pytest.fixture
def alerts(store: Store) -> Evaluated:
    return Evaluated(store)


class Evaluated:
    """An evaluator whose clock is ours."""

    def __init__(self, store: Store) -> None:
        self.store = store.alerts
        self.rules: Sequence[Rule] = (DOWN,)

    def at(self, seconds: float, **states: ServiceState) -> list[tuple[str, str]]:
        """Judge services in these states so many seconds on; returns what is told: event and channel."""
        services = [ServiceStatus(name, state) for name, state in states.items()]
        now = NOW + timedelta(seconds=seconds)
        evaluate(self.rules, Facts(now, services=services), self.store)
        due = self.store.due(now)
        for each in due:
            self.store.delivered(each.id, now)
        return [(each.event, each.channel) for each in due]


UP, GONE = ServiceState.HEALTHY, ServiceState.UNHEALTHY


def test_fires_once_it_was_wrong_for_long_enough_and_is_told_once(alerts: Evaluated) -> None:
    assert alerts.at(0, ray=GONE) == []
    assert alerts.store.latest() == []
    assert alerts.at(14, ray=GONE) == []
    assert alerts.at(15, ray=GONE) == [("fired", "log")]
    assert alerts.at(16, ray=GONE) == []
    (alert,) = alerts.store.latest()
    assert (alert.rule, alert.subject, alert.state) == ("service-down", "ray", AlertState.FIRING)
    assert (alert.severity, alert.began_at, alert.message) == (
        Severity.CRITICAL,
        NOW,
        "service ray is unhealthy",
    )


def test_what_was_wrong_for_a_moment_is_no_alert(alerts: Evaluated) -> None:
    assert alerts.at(0, ray=GONE) + alerts.at(10, ray=UP) + alerts.at(16, ray=GONE) == []
    assert alerts.at(25, ray=GONE) == [], "the time began anew"
    assert alerts.store.latest(with_ended=True) == []


def test_its_end_is_told_and_stays_in_the_history(alerts: Evaluated) -> None:
    alerts.at(0, ray=GONE), alerts.at(20, ray=GONE)
    assert alerts.at(30, ray=UP) == [("resolved", "log")]
    assert alerts.at(31, ray=UP) == []
    assert alerts.store.latest() == []
    (alert,) = alerts.store.latest(with_ended=True)
    assert (alert.state, alert.ended_at) == (AlertState.RESOLVED, NOW + timedelta(seconds=30))


def test_a_cool_down_holds_the_next_back(alerts: Evaluated) -> None:
    alerts.at(0, ray=GONE), alerts.at(20, ray=GONE), alerts.at(30, ray=UP)
    assert alerts.at(40, ray=GONE) + alerts.at(60, ray=GONE) + alerts.at(89, ray=GONE) == []
    assert alerts.at(90, ray=GONE) == [("fired", "log")]


def test_what_is_neither_right_nor_wrong_changes_nothing(alerts: Evaluated) -> None:
    alerts.at(0, ray=GONE)
    assert alerts.at(10, ray=ServiceState.STARTING) == []
    assert alerts.at(15, ray=GONE) == [("fired", "log")]
    assert alerts.at(20, ray=ServiceState.STARTING) == []
    assert alerts.at(25, ray=UP) == [("resolved", "log")]


def test_what_is_not_there_any_more_is_over(alerts: Evaluated) -> None:
    alerts.at(0, ray=GONE), alerts.at(15, ray=GONE)
    assert alerts.at(20) == [("resolved", "log")]


def test_a_rule_that_is_gone_ends_its_alerts(alerts: Evaluated) -> None:
    alerts.at(0, ray=GONE, mlflow=GONE), alerts.at(15, ray=GONE, mlflow=GONE)
    alerts.rules = ()
    assert sorted(alerts.at(16, ray=GONE, mlflow=GONE)) == [("resolved", "log")] * 2


def test_each_channel_is_told(alerts: Evaluated) -> None:
    alerts.rules = (replace(DOWN, channels=("log", "team"), for_s=0),)
    assert sorted(alerts.at(0, ray=GONE)) == [("fired", "log"), ("fired", "team")]


def test_acknowledged_it_goes_on_and_its_end_is_told(alerts: Evaluated) -> None:
    alerts.rules = (replace(DOWN, for_s=0),)
    alerts.at(0, ray=GONE)
    (alert,) = alerts.store.latest()
    assert alerts.store.acknowledge(alert.id, "ann").state is AlertState.ACKNOWLEDGED
    assert alerts.store.acknowledge(alert.id, "bob").acknowledged_by == "ann", "the first stays"
    assert alerts.at(5, ray=GONE) == []
    assert alerts.at(6, ray=UP) == [("resolved", "log")]
    with pytest.raises(AlertNotFound, match=str(alert.id)):
        alerts.store.acknowledge(alert.id, "ann")


def test_an_alert_of_the_platform_is_no_projects_to_acknowledge(alerts: Evaluated) -> None:
    alerts.rules = (replace(DOWN, for_s=0),)
    alerts.at(0, ray=GONE)
    (alert,) = alerts.store.latest()
    with pytest.raises(AlertNotFound):
        alerts.store.acknowledge(alert.id, "ann", project="drilling")
    assert alerts.store.latest(project="drilling") == []
    assert alerts.store.latest(project="") == [alert]


@pytest.mark.parametrize("named", [("", ""), ("service-down", ""), ("service-down", "ray")])
def test_silenced_it_is_told_once_the_silence_is_over(alerts: Evaluated, named: tuple[str, str]) -> None:
    alerts.rules = (replace(DOWN, for_s=0),)
    alerts.store.silence("", *named, NOW + timedelta(seconds=60), "ann")
    assert alerts.at(0, ray=GONE) == []
    assert len(alerts.store.latest()) == 1, "it is seen all the same"
    assert alerts.at(61, ray=GONE) == [("fired", "log")]


def test_silenced_until_it_is_over_it_is_never_told(alerts: Evaluated) -> None:
    alerts.rules = (replace(DOWN, for_s=0),)
    alerts.store.silence("", "", "", NOW + timedelta(seconds=60), "ann")
    assert alerts.at(0, ray=GONE) + alerts.at(10, ray=UP) + alerts.at(70, ray=UP) == []


def test_another_subject_is_not_silenced(alerts: Evaluated) -> None:
    alerts.rules = (replace(DOWN, for_s=0),)
    alerts.store.silence("", "service-down", "mlflow", NOW + timedelta(seconds=60), "ann")
    assert alerts.at(0, ray=GONE) == [("fired", "log")]
    assert [each.subject for each in alerts.store.silences(NOW)] == ["mlflow"]
    assert alerts.store.silences(NOW + timedelta(seconds=61)) == []


def test_a_restart_in_a_storm_loses_nothing_and_tells_nothing_twice(alerts: Evaluated, store: Store) -> None:
    services = [ServiceStatus(f"service-{number}", GONE) for number in range(500)]
    rules = [replace(DOWN, for_s=0)]
    evaluate(rules, Facts(NOW, services=services), alerts.store)
    told = []
    for _ in range(3):  # as many evaluators, one after the other
        evaluate(rules, Facts(NOW + timedelta(seconds=1), services=services), store.alerts)
        for delivery in store.alerts.due(NOW + timedelta(seconds=1), most=200):
            store.alerts.delivered(delivery.id, NOW)
            told.append(delivery.alert.subject)
    assert sorted(told) == sorted(each.name for each in services)


def test_a_delivery_that_fails_waits_or_is_given_up(alerts: Evaluated) -> None:
    evaluate([replace(DOWN, for_s=0)], Facts(NOW, services=[ServiceStatus("ray", GONE)]), alerts.store)
    (delivery,) = alerts.store.due(NOW)
    alerts.store.postpone(delivery.id, "refused", NOW + timedelta(seconds=5))
    assert alerts.store.due(NOW + timedelta(seconds=4)) == []
    (again,) = alerts.store.due(NOW + timedelta(seconds=5))
    assert (again.id, again.attempts) == (delivery.id, 1)
    alerts.store.give_up(again.id, "no such channel", NOW)
    assert alerts.store.due(NOW + timedelta(days=1)) == []


def test_history_that_is_too_old_goes(alerts: Evaluated, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts.rules = (replace(DOWN, for_s=0),)
    alerts.at(0, ray=GONE), alerts.at(1, ray=UP), alerts.at(100, mlflow=GONE)
    alerts.store.silence("", "", "", NOW, "ann")
    alerts.store.forget_old()
    assert len(alerts.store.latest(with_ended=True)) == 2
    monkeypatch.setattr("mlops.store.alerts.KEPT", timedelta(0))
    alerts.store.forget_old()
    assert [each.subject for each in alerts.store.latest(with_ended=True)] == ["mlflow"], "it goes on"


def test_what_cannot_be_told_for_now_leaves_alerts_as_they_are(store: Store) -> None:
    rule = Rule(
        "wrong", Kind.PERFORMANCE, "p", threshold=0.9, window_s=3600.0, metric="accuracy", cooldown_s=0
    )
    champion = Deployment(
        id=1, project="p", model="m", version=1, replicas=1, url="", state=DeploymentState.RUNNING,
        created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    bad = Performance(1, Side.CHAMPION, "y", "accuracy", 0.5, None, None, 50, 50, NOW, NOW)
    add = ProjectWorkspace("p", "p", "1", "", "", "", Path("/"))
    store.projects.put(add, {})

    def judged(rows: Sequence[Performance] | None) -> list[AlertState]:
        facts = Facts(NOW, deployments={"p": [champion]}, performance=lambda *_: rows)
        evaluate([rule], facts, store.alerts)
        return [alert.state for alert in store.alerts.latest("p")]

    assert judged(None) == []
    assert judged([bad]) == [AlertState.FIRING]
    assert judged(None) == [AlertState.FIRING], "as after a restart of the worker"
    assert judged([]) == []


def test_one_that_goes_on_is_found_by_its_number(alerts: Evaluated) -> None:
    alerts.at(0, ray=GONE)
    pending = next(iter(alerts.store.watched().values())).id
    with pytest.raises(AlertNotFound):
        alerts.store.get(pending)
    alerts.at(15, ray=GONE)
    assert alerts.store.get(pending).rule == "service-down"
    with pytest.raises(AlertNotFound):
        alerts.store.get(pending, "another")
    alerts.at(16, ray=UP)
    with pytest.raises(AlertNotFound):
        alerts.store.get(pending)
