"""Alerts into the platform's own log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mlops.entities import Severity
from mlops.monitoring.channels.base import Channel, Notice, NoticeEvent
from mlops.monitoring.channels.wording import MESSAGE_CHARS, cleaned, document, title

LOGGER = "mlops.alerts"

_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


class LogChannel:
    """Writes each notice to the logger `mlops.alerts`, at the level of its severity when it fired, and as
    INFO else: in words, with the event `alert.<what happened>` and all that programs read in `notice`. It
    cannot fail to deliver."""

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
        told = {"channel": self.name, "notice": document(notice), "project": notice.alert.project}
        self._log.log(
            level, "%s: %s", title(notice), cleaned(notice.alert.message, MESSAGE_CHARS),
            extra={"event": f"alert.{notice.event}", **told},
        )  # fmt: skip


if TYPE_CHECKING:
    _conforms: type[Channel] = LogChannel
