"""What is wanted of the logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlops.durations import read_moment
from mlops.entities import LogLevel, LogLine
from mlops.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines; each condition that is not given lets all through."""

    services: Sequence[str]
    """Whose logs are looked at."""
    project: str = ""
    level: LogLevel = LogLevel.DEBUG
    """This one, and those that matter more."""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    """Words: each stands somewhere in the line, in capitals or not."""
    request_id: str = ""

    @classmethod
    def of(
        cls,
        known: Sequence[str],
        *,
        service: str | None = None,
        project: str | None = None,
        level: str | None = None,
        since: str | None = None,
        until: str | None = None,
        text: str | None = None,
        request_id: str | None = None,
    ) -> LogQuery:
        """The query that a person wrote; `known` names the logs there are. Raises `InvalidInput` for a
        service, a level or a time that is none."""
        now = datetime.now(UTC)
        if service and service not in known:
            raise InvalidInput("service", service, "has no log", remedy=f"Use one of: {', '.join(known)}.")
        return cls(
            services=(service,) if service else tuple(known),
            project=project or "",
            level=_level(level) if level else LogLevel.DEBUG,
            since=read_moment(since, "since", now) if since else None,
            until=read_moment(until, "until", now) if until else None,
            text=text or "",
            request_id=request_id or "",
        )

    def wants(self, line: LogLine) -> bool:
        """Whether the line is one of them; of its service is not asked."""
        return (
            _ORDER[line.level] >= _ORDER[self.level]
            and self.project in ("", line.project)
            and self.request_id in ("", line.request_id)
            and (self.since is None or line.time >= self.since)
            and (self.until is None or line.time < self.until)
            and (not self.text or self._says(line))
        )

    def _says(self, line: LogLine) -> bool:
        parts = (
            line.message,
            line.event,
            line.logger,
            line.error,
            json.dumps(line.fields, ensure_ascii=False),
        )
        said = "\n".join(parts).casefold()
        return all(word in said for word in self.text.casefold().split())


_ORDER = {level: place for place, level in enumerate(LogLevel)}


def _level(text: str) -> LogLevel:
    try:
        return LogLevel(text.lower())
    except ValueError:
        levels = ", ".join(level.value for level in LogLevel)
        raise InvalidInput("level", text, "is no level", remedy=f"Use one of: {levels}.") from None
