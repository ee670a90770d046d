"""From what rules find to alerts: when one begins, when it is told, when it is over.

A subject is `pending` from when it is first found wrong, `firing` once it was so for as long as its rule
says and its cool-down is over, and `resolved` as soon as it is found right or is not there any more. All of
that is in the database, so that an evaluator that is restarted goes on, and tells nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from mlops.monitoring.readings import Facts, Reading, readings
from mlops.monitoring.rules import KINDS, LONGEST_S, Rule
from mlops.store.alerts import Alerts, Begun, Changes, Key, Watched


def evaluate(rules: Iterable[Rule], facts: Facts, alerts: Alerts) -> int:
    """Judge every rule by the facts and write down what changed; returns how much is to be told. Raises
    `ServiceUnavailable`: then nothing has changed."""
    open_now = alerts.watched()
    ended = alerts.last_ended(facts.now - timedelta(seconds=LONGEST_S))
    changes, seen, undecided = Changes(), set[Key](), set[tuple[str, str]]()
    for rule in rules:
        found = readings(rule, facts)
        if found is None:
            undecided.add((rule.project, rule.name))
            continue
        for reading in found:
            key = (rule.project, rule.name, reading.subject)
            seen.add(key)
            _judge(rule, key, reading, open_now.get(key), ended.get(key), facts.now, changes)
    for key, watched in open_now.items():
        if (
            key not in seen and key[:2] not in undecided
        ):  # the rule, or what it was about, is not there any more
            _end(watched, changes)
    return alerts.apply(changes, facts.now)


def _judge(
    rule: Rule, key: Key, reading: Reading, watched: Watched | None, ended: datetime | None, now: datetime,
    changes: Changes,
) -> None:  # fmt: skip
    if reading.wrong is None:
        return
    if not reading.wrong:
        if watched is not None:
            _end(watched, changes)
        return
    since = now if watched is None else watched.since
    is_cool = ended is None or now - ended >= timedelta(seconds=rule.cooldown_s)
    fires = is_cool and now - since >= timedelta(seconds=rule.for_s)
    if watched is None:
        changes.begun.append(_begun(rule, key, reading, fires=fires))
        return
    if watched.is_pending and fires:
        changes.fired.append(watched.id)
    if (watched.message, watched.value) != (reading.message, reading.value):
        changes.reworded[watched.id] = (reading.message, reading.value)


def _end(watched: Watched, changes: Changes) -> None:
    (changes.forgotten if watched.is_pending else changes.ended).append(watched.id)


def _begun(rule: Rule, key: Key, reading: Reading, *, fires: bool) -> Begun:
    return Begun(
        key, rule.kind.value, rule.severity, reading.message, reading.value, rule.threshold, rule.channels,
        fires, KINDS[rule.kind].tells_end,
    )  # fmt: skip
