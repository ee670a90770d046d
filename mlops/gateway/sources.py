"""A source of figures that is asked at most once a second, and never waited for for long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

FRESH_S = 1.0
"""How long an answer is given again: ten who ask cost one look."""
PATIENCE_S = 2.0
"""How long one is waited for; Prometheus itself gives up after ten seconds."""

_Found = TypeVar("_Found")


class Source(Generic[_Found]):
    """What blocks, asked in a thread, by one at a time: while an answer is late, nobody asks again. Used
    from one event loop."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], _Found],
        *,
        fresh_s: float = FRESH_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`ask` may raise anything."""
        self.name = name
        self._ask, self._fresh_s, self._patience_s = ask, fresh_s, patience_s
        self._asking: asyncio.Future[_Found | None] | None = None
        self._good_until = 0.0
        self._was_away = False

    async def read(self) -> _Found | None:
        """What it tells, a second old at most; None where it failed, or is not there in time."""
        now = asyncio.get_running_loop().time()
        if self._asking is None or (self._asking.done() and now >= self._good_until):
            self._asking = asyncio.ensure_future(self._look())
        asking = self._asking  # who asks after its end, before this one goes on, begins another
        done, _ = await asyncio.wait([asking], timeout=self._patience_s)
        return asking.result() if done else None

    async def _look(self) -> _Found | None:
        try:
            found = await asyncio.to_thread(self._ask)
        except Exception as error:  # noqa: BLE001 - a source may raise anything; who asks must not fail of it
            self._tell(error)
            found = None
        else:
            self._was_away = False
        self._good_until = asyncio.get_running_loop().time() + self._fresh_s
        return found

    def _tell(self, error: Exception) -> None:
        if not self._was_away:
            lines = str(error).splitlines() or [type(error).__name__]
            _log.warning("the figures of %s are missing: %s", self.name, lines[0])
        self._was_away = True
