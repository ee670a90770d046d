"""What people do about alerts: see them, acknowledge, silence, and change the rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops.entities import Alert
from mlops.errors import InvalidInput, ProjectNotFound
from mlops.monitoring.rules import Rule, all_rules, read_rule
from mlops.store.alerts import Silence
from mlops.store.store import Store

LONGEST_SILENCE_MIN = 30 * 24 * 60.0
MOST_ALERTS = 10_000
"""That are read at a time."""


class AlertDesk:
    """Verbs of alerts. A `project` of "" is the platform, None is all there are. Every one raises
    `ServiceUnavailable` without Postgres."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def latest(
        self, project: str | None = None, *, with_ended: bool = False, count: int = 100
    ) -> list[Alert]:
        """Alerts that go on, with their history if wanted, newest first. Raises `InvalidInput` for a count
        out of range."""
        if not 1 <= count <= MOST_ALERTS:
            raise InvalidInput(
                "count", count, "is out of range", remedy=f"Give a number from 1 to {MOST_ALERTS}."
            )
        return self._store.alerts.latest(project, with_ended=with_ended, most=count)

    def count(self, project: str | None = None) -> int:
        """How many go on."""
        found = self._store.alerts.standing()
        return sum(each.alerts for name, each in found.items() if project in (None, name))

    def get(self, number: int, project: str | None = None) -> Alert:
        """One that goes on, of that project if given. Raises `AlertNotFound`."""
        return self._store.alerts.get(number, project)

    def acknowledge(self, number: int, who: str, project: str | None = None) -> Alert:
        """Somebody looks after it: only its end is told. Raises `AlertNotFound`."""
        alert = self._store.alerts.acknowledge(number, who, project)
        self._write_down(who, "acknowledge", alert.project, alert=number, rule=alert.rule)
        return alert

    def silence(self, project: str, rule: str, subject: str, minutes: float, who: str) -> Silence:
        """Tell nothing of the rule ("" is each) and subject ("" is each) for a while; what is still wrong
        then is told. Raises `InvalidInput` for a rule that there is not, and for a time out of range,
        `ProjectNotFound`."""
        if not 0 < minutes <= LONGEST_SILENCE_MIN:
            raise InvalidInput(
                "minutes", minutes, "is out of range", remedy=f"Give a number up to {LONGEST_SILENCE_MIN:g}."
            )
        known = [each.name for each in self.rules(project)]
        if rule and rule not in known:
            raise InvalidInput("rule", rule, "is not known", remedy=f"There are: {', '.join(known)}.")
        until = datetime.now(UTC) + timedelta(minutes=minutes)
        made = self._store.alerts.silence(project, rule, subject, until, who)
        self._write_down(who, "silence", project, rule=rule, subject=subject, until=until.isoformat())
        return made

    def silences(self) -> list[Silence]:
        """Those that hold now."""
        return self._store.alerts.silences(datetime.now(UTC))

    def rules(self, project: str | None = None) -> list[Rule]:
        """The rules that hold. Raises `ProjectNotFound`."""
        alerting = self._store.projects.alerting()
        if project and project not in alerting:
            raise ProjectNotFound(project)
        found = all_rules(
            {name: each.rules for name, each in alerting.items()}, self._store.alert_rules.all()
        )
        return [rule for rule in found if project is None or rule.project == project]

    def add_rule(self, project: str, name: str, stated: Mapping[str, Any], who: str) -> Rule:
        """Judge by a further rule from now on. Raises `InvalidInput` for what cannot stand in one, and where
        the project has one of that name that was added or is in its project.toml; `ProjectNotFound`."""
        rule = read_rule(name, stated, project)
        if project:
            alerting = self._store.projects.alerting().get(project)
            if alerting is None:
                raise ProjectNotFound(project)
            if name in alerting.rules:
                raise InvalidInput("rule", name, "is in the project.toml", remedy="Change it there.")
        self._store.alert_rules.add(project, name, stated)
        self._write_down(who, "add rule", project, rule=name, stated=dict(stated))
        return rule

    def remove_rule(self, project: str, name: str, who: str) -> None:
        """Judge by it no more. Raises `InvalidInput` for one that was not added by command."""
        self._store.alert_rules.remove(project, name)
        self._write_down(who, "remove rule", project, rule=name)

    def _write_down(self, who: str, action: str, project: str, **details: Any) -> None:
        self._store.audit.record(who, action, project or None, **details)
