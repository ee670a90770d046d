"""A service that runs while somebody wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from mlops.entities import ServiceStatus

POLL_S = 0.2
"""Between two looks at whether it is wanted."""


class Keeper(Protocol):
    """Keeps a service up from `run`, which is cancelled, to `stop`."""

    @property
    def status(self) -> ServiceStatus:
        """What it sees of the service."""

    async def run(self) -> None:
        """Forever."""

    async def stop(self) -> None:
        """End the process."""


class OnRequest:
    """Has a service kept up while it is wanted, each time by a keeper of its own, which counts anew."""

    def __init__(self, wanted: Callable[[], bool], make: Callable[[], Keeper]) -> None:
        self._wanted = wanted
        self._make = make
        self._keeper: Keeper | None = None

    @property
    def status(self) -> ServiceStatus | None:
        """None while it is not wanted."""
        return None if self._keeper is None else self._keeper.status

    async def run(self) -> None:
        """Forever: one request after another."""
        while True:
            while not self._wanted():
                await asyncio.sleep(POLL_S)
            self._keeper = self._make()
            await self._keep(asyncio.create_task(self._keeper.run()))
            await self.stop()

    async def _keep(self, kept: asyncio.Task[None]) -> None:
        try:
            while self._wanted() and not kept.done():
                await asyncio.wait([kept], timeout=POLL_S)
        finally:
            kept.cancel()
        await asyncio.wait([kept])
        if not kept.cancelled():
            kept.result()  # a defect of ours is not kept silent

    async def stop(self) -> None:
        """End the process, if there is one."""
        if self._keeper is not None:
            await self._keeper.stop()
            self._keeper = None
