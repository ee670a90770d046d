"""Work for a caller that may hang up before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

T = TypeVar("T")

_SOON_S = 0.05


class CallerGone(Exception):
    """The caller hung up: nobody reads an answer."""


async def unless_gone(receive: Receive, work: Awaitable[T]) -> T:
    """What `work` comes to. Where the caller hangs up before, it is cancelled and `CallerGone` raised.

    `receive` is the request's, after its body was read; Starlette itself lets such work run on."""
    task = asyncio.ensure_future(work)
    gone: asyncio.Future[None] | None = None
    try:
        # Most work is done before it is worth listening, which costs as much as a small model.
        await asyncio.wait({task}, timeout=_SOON_S)
        if not task.done():
            gone = asyncio.ensure_future(_gone(receive))
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallerGone
        return task.result()
    finally:
        if gone is not None:
            gone.cancel()
        task.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
