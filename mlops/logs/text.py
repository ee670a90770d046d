"""Lines of text, as other programs write them, as the records that ours are.

Known are the forms of Postgres, of Python's `logging` (MLflow, Ray), of Ray's own C++ and of uvicorn; of
any other line with a time in front the time is taken, and of the rest nothing but the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mlops.entities import LogLevel, LogLine

_TIME = (
    r"(?P<date>\d{4}[-/]\d\d[-/]\d\d)[ T](?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,6})\d*)?"
    r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)\b)?"
)
_LEVEL = r"(?P<level>DEBUG|INFO|SUCC|WARN(?:ING)?|ERROR|CRITICAL|FATAL)"
_HEADS = tuple(
    re.compile(form)
    for form in (
        # Postgres, by the log_line_prefix that its command sets.
        rf"{_TIME} [A-Z]* ?\[(?P<pid>\d+)\] (?P<level>[A-Z]+\d?):  ?(?P<message>.*)",
        rf"{_TIME}\s+{_LEVEL}:?\s+(?:(?P<logger>[\w.]+(?::\d+)?)(?::| --) )?(?P<message>.*)",
        rf"\[{_TIME} (?P<level>[DIWEF]) \d+ \d+\] (?:\([\w ]+\) )?(?:(?P<logger>\S+:\d+): )?(?P<message>.*)",
        rf"\[{_TIME}\] \[\d+\] \[{_LEVEL}\] (?P<message>.*)",
        rf"{_LEVEL}:\s+(?P<message>.*)",
        rf"{_LEVEL}\s+\[(?P<logger>[\w.]+)\] (?P<message>.*)",
        rf"\[?{_TIME}\]?[:,]?\s+(?P<message>.+)",
    )
)
_DETAIL = re.compile(
    rf"{_TIME} [A-Z]* ?\[\d+\] (?P<rest>(?:DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION|BACKTRACE):.*)"
)
"""What Postgres says further of the line before."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NAMES = {
    "D": LogLevel.DEBUG,
    "I": LogLevel.INFO,
    "W": LogLevel.WARNING,
    "E": LogLevel.ERROR,
    "F": LogLevel.CRITICAL,
    "LOG": LogLevel.INFO,
    "NOTICE": LogLevel.INFO,
    "SUCC": LogLevel.INFO,
    "WARN": LogLevel.WARNING,
    "FATAL": LogLevel.CRITICAL,
    "PANIC": LogLevel.CRITICAL,
    **{f"DEBUG{number}": LogLevel.DEBUG for number in range(1, 6)},
    **{level.name: level for level in LogLevel},
}
_GUESSES = (
    (re.compile(r"\b(?:CRITICAL|FATAL|PANIC)\b"), LogLevel.CRITICAL),
    (re.compile(r"\bERROR\b|\b[A-Z]\w*(?:Error|Exception)\b|^(?:error|fatal)\b"), LogLevel.ERROR),
    (re.compile(r"\b(?:WARN|WARNING)\b|\b[A-Z]\w*Warning\b|^warning\b"), LogLevel.WARNING),
)
_TRACE = "Traceback (most recent call last)"
MOST_LINES = 400
"""Of one record: what comes after begins another."""


def records(service: str, lines: Iterable[str], known: datetime) -> Iterator[LogLine]:
    """The records of consecutive lines of one file, JSON and text mixed as they come; `known` is the time
    of those that come before any line that has one. A traceback, and what is indented, stays with its
    line."""
    head: LogLine | None = None
    more: list[str] = []
    for line in lines:
        text = _COLOURS.sub("", line)
        found = _own(service, text)
        if found is None and (head is None or not _belongs(text, more)):
            found = _read(service, text, known)
        if found is None:
            detail = _DETAIL.match(text)
            more.append(detail["rest"] if detail else text)
            continue
        if head is not None:
            yield _whole(head, more)
        head, more, known = found, [], found.time
    if head is not None:
        yield _whole(head, more)


def says_when(text: str) -> bool:
    """Whether the line begins a record for certain, and has a time of its own, whatever stands before it."""
    if text.startswith("{"):
        return True
    found = None if _DETAIL.match(text) else _match(text)
    return found is not None and bool(found.groupdict().get("date"))


def _own(service: str, text: str) -> LogLine | None:
    if not text.startswith("{"):
        return None
    try:
        content = json.loads(text)
        return LogLine(
            time=datetime.fromisoformat(content["time"]).astimezone(UTC),
            service=service,
            level=LogLevel(content["level"]),
            message=content["message"],
            **{name: content[name] for name in _OPTIONAL if name in content},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # a torn line, or another program's JSON


_OPTIONAL = ("event", "project", "request_id", "logger", "error", "fields")


def _belongs(text: str, more: list[str]) -> bool:
    """Whether a line that is none of ours goes on with the record before it."""
    if len(more) >= MOST_LINES:
        return False
    if _DETAIL.match(text):
        return True
    if _match(text) is not None:
        return False
    in_traceback = any(_TRACE in each for each in more)
    return in_traceback or not text.strip() or text[0] in " \t" or _TRACE in text


def _read(service: str, text: str, known: datetime) -> LogLine:
    found = _match(text)
    if found is None:
        return LogLine(known, service, _guess(text), text)
    told: dict[str, Any] = found.groupdict()
    message = told["message"]
    level = _NAMES.get(told.get("level") or "") or _guess(message)
    fields = {"pid": int(told["pid"])} if told.get("pid") else {}
    if fields and told["level"] == "FATAL":  # Postgres' word for the end of one connection
        level = LogLevel.ERROR
    time = _moment(told) or known
    return LogLine(time, service, level, message, logger=told.get("logger") or "", fields=fields)


def _match(text: str) -> re.Match[str] | None:
    for head in _HEADS:
        found = head.match(text)
        if found is not None:
            return found
    return None


def _moment(told: dict[str, Any]) -> datetime | None:
    if not told.get("date"):
        return None
    zone = told["zone"] or ""
    text = f"{told['date'].replace('/', '-')}T{told['clock']}.{(told['fraction'] or '0').ljust(6, '0')}"
    try:
        # Without a zone it is this machine's.
        return datetime.fromisoformat(text + ("Z" if zone in ("UTC", "GMT") else zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _guess(text: str) -> LogLevel:
    return next((level for words, level in _GUESSES if words.search(text)), LogLevel.INFO)


def _whole(head: LogLine, more: list[str]) -> LogLine:
    rest = "\n".join(more).rstrip()
    if not rest:
        return head
    if any(_TRACE in each for each in (head.message, *more)) and head.level is LogLevel.INFO:
        head = replace(head, level=LogLevel.ERROR)
    return replace(head, error=f"{head.error}\n{rest}".strip("\n"))
