"""A channel that keeps what it is given, for tests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from mlops.errors import NotDelivered
from mlops.monitoring.channels.base import Channel, Notice
from mlops.monitoring.channels.wording import document


class MemoryChannel:
    """Keeps notices in their order; or fails each, when `fails` holds the error to raise."""

    def __init__(self, name: str = "memory") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._notices: list[Notice] = []
        self.fails: NotDelivered | None = None
        """Raised by `send` while it is set."""

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._name

    def send(self, notice: Notice) -> None:
        """See `Channel.send`."""
        if self.fails is not None:
            raise self.fails
        with self._lock:
            self._notices.append(notice)

    @property
    def notices(self) -> list[Notice]:
        """What was sent, oldest first."""
        with self._lock:
            return list(self._notices)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The same, as a receiver would read it."""
        return [document(each) for each in self.notices]


if TYPE_CHECKING:
    _conforms: type[Channel] = MemoryChannel
