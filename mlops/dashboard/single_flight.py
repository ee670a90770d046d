"""What several ask for at once is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

_Made = TypeVar("_Made")


class SingleFlight(Generic[_Made]):
    """Work that goes on, by its key. Used from one event loop."""

    def __init__(self) -> None:
        self._going: dict[Hashable, asyncio.Task[_Made]] = {}

    def join(self, key: Hashable, begin: Callable[[], Coroutine[Any, Any, _Made]]) -> asyncio.Task[_Made]:
        """The task of that key: the one that goes on, or a new one. Whoever awaits it itself cancels it for
        all when he is cancelled: `asyncio.wait` does not."""
        going = self._going.get(key)
        if going is None:
            going = self._going[key] = asyncio.create_task(begin())
            going.add_done_callback(lambda done: self._landed(key, done))
        return going

    def _landed(self, key: Hashable, done: asyncio.Task[_Made]) -> None:
        self._going.pop(key, None)
        if not done.cancelled():
            done.exception()  # looked at, also where nobody waits for it any more
