"""The contract of an alert channel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from mlops.entities import Alert
from mlops.errors import InvalidInput

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class NoticeEvent(StrEnum):
    """What a notice tells of an alert."""

    FIRED = "fired"
    RESOLVED = "resolved"
    TEST = "test"
    """Nothing is wrong: somebody tries the channel."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell.

    Raises `InvalidInput` for an id that a header or a topic could not hold, and for a time without a zone.
    """

    id: str
    """One for each thing told, 1 to 100 of letters, digits, `_` and `-`. Another try keeps it, so that a
    receiver can tell a repetition from something new."""
    event: NoticeEvent
    at: datetime
    alert: Alert
    url: str = ""
    """The dashboard's page of it; may be empty."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise InvalidInput(
                "notice.id", self.id, "is not safe", remedy="Use 1 to 100 letters, digits, `_` and `-`."
            )
        if self.at.tzinfo is None:
            raise InvalidInput("notice.at", self.at, "has no time zone", remedy="Give it in UTC.")


class Channel(Protocol):
    """One way to one receiver, as a table `[alerts.channels.<name>]` describes it. Thread-safe."""

    @property
    def name(self) -> str:
        """The name of its table."""

    def send(self, notice: Notice) -> None:
        """Hand the notice to the receiver; returns once the receiver has it, within about 10 s.

        Texts of the notice come from projects and may hold anything: what arrives is bounded, without
        control characters, and in the receiver's own quoting. Nothing is tried twice; where an answer is
        lost, the caller sends the same again, with the same id.

        Raises `NotDelivered`, whose `again` is True where the same may work later (no answer in time, no
        connection, an unknown name, a receiver that says it is overloaded or broken), and False where it
        cannot (a refusal, a wrong address, a certificate that is not trusted, an address inside the
        network)."""
