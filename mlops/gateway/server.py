"""The server that is the gateway's door, which shuts without hitting anyone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

LINGER_S = 1.0
"""How long a connection that was taken may still bring its request after SIGTERM."""
_POLL_S = 0.02


class GatewayServer(uvicorn.Server):
    """Uvicorn, but for its end: it closes at once each connection that has no request under way, also one
    whose request is on its way, which the caller sees as a reset. Here such callers have `LINGER_S` more,
    are answered, and are told with the answer that the connection ends."""

    def __init__(self, config: uvicorn.Config, before_end: Callable[[], None]) -> None:
        """`before_end` ends what would never end by itself."""
        super().__init__(config)
        self._before_end = before_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no further connection, let those that are open bring what they are about to send, then end
        as uvicorn does."""
        for server in self.servers:
            server.close()
        self._before_end()
        self.server_state.default_headers.append((b"connection", b"close"))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LINGER_S
        while self.server_state.connections and loop.time() < deadline and not self.force_exit:
            await asyncio.sleep(_POLL_S)
        await super().shutdown(sockets)
