"""Alerts into the platform's own log."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from mlops.entities import Severity
from mlops.monitoring.channels.base import Channel, Notice, NoticeEvent
from mlops.monitoring.channels.wording import document

LOGGER = "mlops.alerts"

_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


class LogChannel:
    """Writes each notice as one line of JSON to the logger `mlops.alerts`, at the level of its severity when
    it fired, and as INFO else. It cannot fail to deliver."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._log = logging.getLogger(LOGGER)

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._name

    def send(self, notice: Notice) -> None:
        """See `Channel.send`."""
        fired = notice.event is NoticeEvent.FIRED
        level = _LEVELS[notice.alert.severity] if fired else logging.INFO
        self._log.log(level, "%s", json.dumps({"channel": self.name, **document(notice)}))


if TYPE_CHECKING:
    _conforms: type[Channel] = LogChannel
