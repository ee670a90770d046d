"""What may stand in a rule, and which hold."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.entities import Severity
from mlops.errors import InvalidInput
from mlops.monitoring.rules import KINDS, Kind, all_rules, read_rule

SLOW: dict[str, Any] = {"kind": "latency_p95", "threshold": 0.2}


def test_what_is_not_stated_is_as_usual() -> None:
    rule = read_rule("slow", {"kind": "latency_p95"}, "drilling")
    assert (rule.name, rule.kind, rule.project, rule.subject) == ("slow", Kind.LATENCY_P95, "drilling", "")
    assert (rule.threshold, rule.severity, rule.channels) == (1.0, Severity.WARNING, ("log",))


def test_all_may_be_stated() -> None:
    stated = SLOW | {
        "subject": "keypoints", "severity": "critical", "window_s": 60, "for_s": 5, "cooldown_s": 0,
        "channels": ["team", "log", "team"],
    }  # fmt: skip
    rule = read_rule("slow", stated, "drilling")
    assert (rule.window_s, rule.for_s, rule.cooldown_s) == (60.0, 5.0, 0.0)
    assert (rule.subject, rule.threshold, rule.severity) == ("keypoints", 0.2, Severity.CRITICAL)
    assert rule.channels == ("team", "log")


@pytest.mark.parametrize(
    ("stated", "named"),
    [
        ({}, "slow.kind"),
        ({"kind": "slow"}, "slow.kind"),
        (SLOW | {"colour": "red"}, "slow.colour"),
        (SLOW | {"threshold": "much"}, "slow.threshold"),
        (SLOW | {"threshold": True}, "slow.threshold"),
        (SLOW | {"threshold": float("nan")}, "slow.threshold"),
        (SLOW | {"threshold": -1}, "slow.threshold"),
        (SLOW | {"window_s": 1}, "slow.window_s"),
        (SLOW | {"for_s": -1}, "slow.for_s"),
        (SLOW | {"cooldown_s": 1e9}, "slow.cooldown_s"),
        (SLOW | {"severity": "bad"}, "slow.severity"),
        (SLOW | {"subject": 3}, "slow.subject"),
        (SLOW | {"subject": "a\nb"}, "slow.subject"),
        (SLOW | {"channels": []}, "slow.channels"),
        (SLOW | {"channels": "log"}, "slow.channels"),
        (SLOW | {"channels": ["../x"]}, "slow.channels"),
        ({"kind": "run_failed", "threshold": 1}, "slow.threshold"),
        ({"kind": "disk_low"}, "slow.kind"),
        (SLOW | {"metric": "accuracy"}, "slow.metric"),
        (SLOW | {"window_s": 90_000}, "slow.window_s"),
        ({"kind": "performance", "threshold": 0.9}, "slow.metric"),
        ({"kind": "performance", "metric": "beauty", "threshold": 0.9}, "slow.metric"),
        ({"kind": "performance", "metric": "accuracy"}, "slow.threshold"),
        ({"kind": "performance", "metric": "accuracy", "threshold": 0.9, "window_s": 3e6}, "slow.window_s"),
    ],
)
def test_what_cannot_stand_in_a_rule_is_named(stated: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_rule("slow", stated, "drilling")
    assert caught.value.fields["field"] == named
    assert caught.value.remedy


def test_of_performance_a_metric_is_judged_over_days() -> None:
    rule = read_rule("wrong", {"kind": "performance", "metric": "bias", "threshold": -0.5}, "drilling")
    assert (rule.metric, rule.threshold, rule.window_s) == ("bias", -0.5, 7 * 86_400.0)
    stated = {"kind": "performance", "metric": "mae", "threshold": 1, "window_s": 30 * 86_400}
    assert read_rule("wrong", stated, "drilling").window_s == 30 * 86_400.0


@pytest.mark.parametrize("name", ["", "Slow", "a b", "-a", "x" * 61, None, 3])
def test_a_name_is_safe(name: object) -> None:
    with pytest.raises(InvalidInput, match="rule"):
        read_rule(name, SLOW, "drilling")


def test_a_platforms_rule_is_not_a_projects_and_the_other_way_round() -> None:
    assert read_rule("disk", {"kind": "disk_low", "threshold": 0.2}).threshold == 0.2
    with pytest.raises(InvalidInput, match="project"):
        read_rule("slow", SLOW)
    with pytest.raises(InvalidInput, match="subject"):
        read_rule("disk", {"kind": "disk_low", "subject": "x"})


def test_later_ones_of_a_name_count_and_unreadable_ones_are_left_out() -> None:
    stated = {
        "a": {"error-rate": {"kind": "error_rate", "threshold": 0.5}, "broken": {"kind": "old"}},
        "b": {},
    }
    found = {(rule.project, rule.name): rule for rule in all_rules(stated, {("b", "slow"): SLOW})}
    assert found["a", "error-rate"].threshold == 0.5
    assert found["b", "error-rate"].threshold == 0.05
    assert found["b", "slow"].threshold == 0.2
    assert ("a", "broken") not in found
    assert found["", "disk-low"].kind is Kind.DISK_LOW


def test_every_kind_is_described() -> None:
    assert set(KINDS) == set(Kind)
