"""One log record as one line of JSON.

Written here rather than with python-json-logger or structlog: the names of the keys, the clean-up of every
text and the context are ours in any case, and all that would be left to a library is the call of
`json.dumps`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlops.entities import LogLevel
from mlops.logs.context import PROJECT, REQUEST_ID
from mlops.logs.redaction import Redactor

MOST_CHARS = 16_000
"""Of a message, and of a traceback, whose end is kept."""
_FIELD_CHARS = 4_000
_DEEPEST = 6

_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_OWN = frozenset({"event", "project", "request_id", "error"})
_LEVELS = (
    (logging.CRITICAL, LogLevel.CRITICAL),
    (logging.ERROR, LogLevel.ERROR),
    (logging.WARNING, LogLevel.WARNING),
    (logging.INFO, LogLevel.INFO),
)


class JsonLines(logging.Formatter):
    """Writes `time` (ISO 8601, UTC), `service`, `level`, `project`, `request_id`, `event`, `message` and
    `logger` in each line; `error` (a traceback, or what `extra` gives) and `fields` (all else of `extra`)
    where there are some. Project and request are those of the context, unless `extra` names others;
    `project` and `fields` stand in for what neither knows."""

    def __init__(
        self,
        service: str,
        redactor: Redactor,
        *,
        project: str = "",
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._service = service
        self._redactor = redactor
        self._project = project
        self._fields = dict(fields or {})

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        given = record.__dict__
        line: dict[str, Any] = {
            "time": _iso(record.created),
            "service": self._service,
            "level": level_of(record.levelno).value,
            "project": self._text(given.get("project") or PROJECT.get() or self._project),
            "request_id": self._text(given.get("request_id") or REQUEST_ID.get()),
            "event": str(given.get("event", "")),
            "message": self._redactor.clean(_shortened(record.getMessage(), MOST_CHARS)),
            "logger": record.name,
        }
        if error := self._error(record):
            line["error"] = error
        extra = {name: value for name, value in given.items() if _is_extra(name)}
        if fields := {**self._fields, **extra}:
            line["fields"] = self._plain(fields)
        return json.dumps(line)

    def _error(self, record: logging.LogRecord) -> str:
        parts = [str(record.__dict__.get("error", ""))]
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        text = "\n".join(part for part in parts if part).strip()
        return self._redactor.clean(text[-MOST_CHARS:])

    def _text(self, value: object) -> str:
        return self._redactor.clean(_shortened(str(value), _FIELD_CHARS)) if value else ""

    def _plain(self, value: Any, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, Mapping) and depth < _DEEPEST:
            return {self._text(key): self._plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
            return [self._plain(each, depth + 1) for each in value]
        return self._text(value)


def _is_extra(name: str) -> bool:
    """What libraries hang on every record for themselves (Ray's `_ray_timestamp_ns`) begins with `_`."""
    return name not in _USUAL and name not in _OWN and not name.startswith("_")


def level_of(number: int) -> LogLevel:
    """Our level of one of `logging`'s numbers."""
    return next((level for least, level in _LEVELS if number >= least), LogLevel.DEBUG)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
