"""Tells alerts by their channels, one lane for each, so that one that hangs holds up no other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from mlops.errors import MLOpsError, NotDelivered
from mlops.monitoring.channels.base import Channel, Notice, NoticeEvent
from mlops.store.alerts import Delivery
from mlops.store.store import Store

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 600.0
"""Before the second try; each further pause is twice as long, up to the longest."""
GIVEN_UP_AFTER = timedelta(days=1)
_LANES = 8
Lane = tuple[str, str]
"""Project ("" for the platform) and channel."""


class Deliveries:
    """Hands what is due to the lanes; `look` is called by one thread, and does not wait for them."""

    def __init__(self, store: Store, open_channel: Callable[[str, str], Channel]) -> None:
        self._store = store
        self._open_channel = open_channel
        self._pool = ThreadPoolExecutor(_LANES, thread_name_prefix="deliveries")
        self._busy: dict[Lane, Future[None]] = {}
        self._stopping = False

    def look(self) -> None:
        """Start what is due. Raises `ServiceUnavailable`."""
        self._busy = {lane: work for lane, work in self._busy.items() if not work.done()}
        lanes: dict[Lane, list[Delivery]] = {}
        for delivery in self._store.alerts.due(datetime.now(UTC), most=1000):
            lanes.setdefault((delivery.alert.project, delivery.channel), []).append(delivery)
        for lane, found in lanes.items():
            if lane not in self._busy:
                self._busy[lane] = self._pool.submit(self._tell, lane, found)

    def close(self) -> None:
        """End after what is being told this moment."""
        self._stopping = True
        self._pool.shutdown(cancel_futures=True)

    def _tell(self, lane: Lane, found: list[Delivery]) -> None:
        try:
            channel = self._open_channel(*lane)
        except MLOpsError as error:
            for delivery in found:
                self._store.alerts.give_up(delivery.id, error.message, datetime.now(UTC))
            return
        for place, delivery in enumerate(found):
            if self._stopping:
                return
            until = self._tell_one(channel, delivery)
            if until is not None:  # the others would fare no better, and must not crowd out other channels
                self._store.alerts.hold_back([each.id for each in found[place + 1 :]], until)
                return

    def _tell_one(self, channel: Channel, delivery: Delivery) -> datetime | None:
        """Tell it; returns until when the channel is not worth another try."""
        now = datetime.now(UTC)
        try:
            channel.send(_notice(delivery, now))
        except NotDelivered as error:
            return self._failed(delivery, error.message, now, again=error.again)
        except Exception as error:
            extra = _told("alert.not_told", delivery)
            log.exception("channel %s has a fault", delivery.channel, extra=extra)
            return self._failed(delivery, repr(error), now, again=True)
        self._store.alerts.delivered(delivery.id, datetime.now(UTC))
        log.info(
            "alert %s is told by %s", delivery.alert.id, delivery.channel, extra=_told("alert.told", delivery)
        )
        return None

    def _failed(self, delivery: Delivery, why: str, now: datetime, *, again: bool) -> datetime | None:
        extra = _told("alert.not_told", delivery)
        log.warning("alert %s is not told by %s: %s", delivery.alert.id, delivery.channel, why, extra=extra)
        if not again or now - delivery.alert.began_at > GIVEN_UP_AFTER:
            self._store.alerts.give_up(delivery.id, why, now)
            return None
        pause = min(FIRST_PAUSE_S * 2 ** min(delivery.attempts, 10), LONGEST_PAUSE_S)
        until = now + timedelta(seconds=pause)
        self._store.alerts.postpone(delivery.id, why, until)
        return until


def _told(event: str, delivery: Delivery) -> dict[str, object]:
    facts = {"alert": delivery.alert.id, "of": delivery.event, "rule": delivery.alert.rule}
    return {"event": event, "project": delivery.alert.project, "channel": delivery.channel, **facts}


def _notice(delivery: Delivery, now: datetime) -> Notice:
    return Notice(
        id=f"alert-{delivery.alert.id}-{delivery.event}", event=NoticeEvent(delivery.event), at=now,
        alert=delivery.alert, url="",
    )  # fmt: skip
