"""What a rule for alerts says, and which kinds there are."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from mlops.entities import Severity
from mlops.errors import InvalidInput
from mlops.monitoring.performance import METRICS


class Kind(StrEnum):
    """What a rule looks at."""

    ERROR_RATE = "error_rate"
    LATENCY_P95 = "latency_p95"
    NO_TRAFFIC = "no_traffic"
    SERVICE_DOWN = "service_down"
    RESTARTED_OFTEN = "restarted_often"
    DRIFT_SHARE = "drift_share"
    COLUMN_DRIFT = "column_drift"
    PERFORMANCE = "performance"
    RUN_FAILED = "run_failed"
    RUN_STUCK = "run_stuck"
    DISK_LOW = "disk_low"
    THERMAL = "thermal"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class KindOfRule:
    """How rules of a kind are judged and written."""

    says: str
    """For people."""
    subject: str
    """What a rule's `subject` names."""
    of_platform: bool
    """Whether it is about the installation, not about a project."""
    unit: str = ""
    usual: float | None = None
    """Threshold where a rule gives none; None for kinds without a threshold, or that each must state."""
    range: tuple[float, float] = (0.0, math.inf)
    """Of the threshold."""
    tells_end: bool = True
    """Whether it is told when it is over: an event that is merely past is nothing to tell."""
    of_metric: bool = False
    """Whether a rule names a metric, and its threshold."""
    window_s: float = 300.0
    """Where a rule gives none."""
    longest_s: float = 86_400.0
    """Window."""


KINDS: Mapping[Kind, KindOfRule] = {
    Kind.ERROR_RATE: KindOfRule("share of failed inferences above", "model", False, "", 0.05, (0.0, 1.0)),
    Kind.LATENCY_P95: KindOfRule("95th percentile of latency above", "model", False, "s", 1.0, (0.0, 60.0)),
    Kind.NO_TRAFFIC: KindOfRule("no inference within the window", "model", False),
    Kind.DRIFT_SHARE: KindOfRule("share of drifted columns above", "model", False, "", 0.0, (0.0, 1.0)),
    Kind.COLUMN_DRIFT: KindOfRule("a column drifted", "model:column", False),
    Kind.PERFORMANCE: KindOfRule(
        "a metric by ground truths is worse than", "model:output", False, range=(-1e30, 1e30),
        of_metric=True, window_s=7 * 86_400.0, longest_s=30 * 86_400.0,
    ),
    Kind.SERVICE_DOWN: KindOfRule("a service does not answer", "service", True),
    Kind.RESTARTED_OFTEN: KindOfRule(
        "restarts of a service within the window, at least", "service", True, "", 3.0, (1.0, 1000.0)
    ),
    Kind.RUN_FAILED: KindOfRule("a run failed within the window", "run", False, tells_end=False),
    Kind.RUN_STUCK: KindOfRule(
        "a run goes on for longer than", "run", False, "h", 24.0, (0.01, 10_000.0)
    ),
    Kind.DISK_LOW: KindOfRule("free share of the disk below", "", True, "", 0.1, (0.0, 1.0)),
    Kind.THERMAL: KindOfRule("the machine is critically hot", "", True),
    Kind.JOURNAL: KindOfRule("what runs logged waits for delivery", "project", True),
}  # fmt: skip

log = logging.getLogger(__name__)

_Choice = TypeVar("_Choice", bound=StrEnum)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
LONGEST_S = 7 * 86_400.0
"""The longest cool-down, in s."""
_TIMES = {"for_s": (0.0, 86_400.0), "cooldown_s": (0.0, LONGEST_S)}
_SHORTEST_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a project, or of the platform. Times are in s."""

    name: str
    kind: Kind
    project: str = ""
    """Empty for the platform's."""
    subject: str = ""
    """The one model, service or run it is about; empty for each there is."""
    threshold: float | None = None
    severity: Severity = Severity.WARNING
    window_s: float = 300.0
    """What is judged: so much of the time just gone."""
    for_s: float = 0.0
    """How long it must be wrong without a break before it is told."""
    cooldown_s: float = 600.0
    """After an alert was over, how long the next of the same subject is not told."""
    channels: tuple[str, ...] = ("log",)
    """Where it is told."""
    metric: str = ""
    """The one that is judged, where the kind is `performance`."""


_KEYS = frozenset(each.name for each in fields(Rule)) - {"name", "project"}

PLATFORM_RULES = (
    Rule("service-down", Kind.SERVICE_DOWN, severity=Severity.CRITICAL, for_s=15.0),
    Rule("restarted-often", Kind.RESTARTED_OFTEN, threshold=3.0, window_s=600.0),
    Rule("disk-low", Kind.DISK_LOW, threshold=0.1, severity=Severity.CRITICAL),
    Rule("thermal", Kind.THERMAL, severity=Severity.CRITICAL, for_s=60.0),
    Rule("journal", Kind.JOURNAL, for_s=3600.0),
)
"""What is looked after without anybody's word."""


def usual_rules(project: str) -> tuple[Rule, ...]:
    """What each project has without a word in its project.toml."""
    return (
        Rule("error-rate", Kind.ERROR_RATE, project, threshold=0.05),
        Rule("drift", Kind.DRIFT_SHARE, project, threshold=0.0),
        Rule("run-failed", Kind.RUN_FAILED, project, window_s=3600.0),
    )


def read_rule(name: object, stated: Mapping[str, Any], project: str = "") -> Rule:
    """The rule of that name as project.toml, or a command, states it; raises `InvalidInput`, naming the key,
    the value and what may stand there."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput("rule", name, "is no name", remedy="Use lower-case letters, digits, `-` and `_`.")
    unknown = sorted(set(stated) - _KEYS)
    if unknown:
        _refuse(name, unknown[0], stated[unknown[0]], "is not known", f"Known: {', '.join(sorted(_KEYS))}.")
    kind = _one_of(Kind, name, "kind", stated.get("kind"))
    told = KINDS[kind]
    if told.of_platform and project:
        _refuse(
            name, "kind", kind.value, "is about the installation", "Add it without a project, as an admin."
        )
    if not told.of_platform and not project:
        _refuse(name, "kind", kind.value, "is about a project's models and runs", "Add it with --project.")
    times = {key: _number(name, key, stated[key], *_TIMES[key]) for key in _TIMES if key in stated}
    window = stated.get("window_s", told.window_s)
    times["window_s"] = _number(name, "window_s", window, _SHORTEST_WINDOW_S, told.longest_s)
    return Rule(
        name, kind, project, _subject(name, stated.get("subject", ""), told), _threshold(name, stated, told),
        _one_of(Severity, name, "severity", stated.get("severity", "warning")),
        channels=_channels(name, stated.get("channels", ["log"])),
        metric=_metric(name, stated.get("metric", ""), told), **times,
    )  # fmt: skip


def _threshold(rule: str, stated: Mapping[str, Any], told: KindOfRule) -> float | None:
    if told.of_metric:
        return _number(rule, "threshold", stated.get("threshold"), *told.range)
    if told.usual is None:
        if stated.get("threshold") is not None:
            _refuse(rule, "threshold", stated["threshold"], "has no meaning for this kind", "Leave it out.")
        return None
    value = stated.get("threshold")
    return told.usual if value is None else _number(rule, "threshold", value, *told.range)


def _subject(rule: str, value: object, told: KindOfRule) -> str:
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        _refuse(rule, "subject", value, "is no name", f"Name a {told.subject or 'thing'}.")
    if value and not told.subject:
        _refuse(rule, "subject", value, "has no meaning for this kind", "Leave it out.")
    return value


def _metric(rule: str, value: object, told: KindOfRule) -> str:
    if not told.of_metric:
        if value:
            _refuse(rule, "metric", value, "has no meaning for this kind", "Leave it out.")
        return ""
    if value not in METRICS:
        _refuse(rule, "metric", value, "is not known", f"Use one of: {', '.join(METRICS)}.")
    return str(value)


def _channels(rule: str, value: object) -> tuple[str, ...]:
    names = value if isinstance(value, list | tuple) else []
    if not names or not all(isinstance(each, str) and _NAME.fullmatch(each) for each in names):
        _refuse(rule, "channels", value, "is no list of channels' names", 'Write it as ["log", "team"].')
    return tuple(dict.fromkeys(names))


def _number(rule: str, key: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        _refuse(rule, key, value, "is out of range", f"Give a number from {least:g} to {most:g}.")
    return float(value)


def _one_of(choices: type[_Choice], rule: str, key: str, value: object) -> _Choice:
    try:
        return choices(str(value))
    except ValueError:
        _refuse(rule, key, value, "is not known", f"Use one of: {', '.join(choices)}.")


def _refuse(rule: str, key: str, value: object, problem: str, remedy: str) -> NoReturn:
    raise InvalidInput(f"{rule}.{key}", value, problem, remedy=remedy)


def all_rules(
    stated: Mapping[str, Mapping[str, Mapping[str, Any]]],
    added: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[Rule]:
    """Every rule that holds: the usual ones, those that each project's project.toml states by name, and those
    that were added by command, by project and name. Of one name the later ones count. A rule that an older
    release took and this one does not is left out."""
    found = {("", rule.name): rule for rule in PLATFORM_RULES}
    for project, rules in stated.items():
        found |= {(project, rule.name): rule for rule in usual_rules(project)}
        found |= _readable({(project, name): rule for name, rule in rules.items()})
    return list((found | _readable(added)).values())


def _readable(stated: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[tuple[str, str], Rule]:
    found = {}
    for (project, name), rule in stated.items():
        try:
            found[project, name] = read_rule(name, rule, project)
        except InvalidInput as error:
            log.warning("a rule of %s is left out: %s", project or "the platform", error.message)
    return found
