"""A TCP proxy before a server, which does to connections what networks and dying servers do."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)

Fault = Callable[["Exchange"], bool]
"""Looks at a request; True when it has dealt with it, and the connection shall be cut."""


class Exchange:
    """One request of a client, whole, with the ways to answer it."""

    def __init__(self, request: bytes, client: socket.socket, server: socket.socket) -> None:
        self.request = request
        self._client, self._server = client, server

    @property
    def line(self) -> str:
        return self.request.partition(b"\r\n")[0].decode()

    @property
    def body(self) -> bytes:
        return self.request.partition(b"\r\n\r\n")[2]

    def forward(self) -> bytes:
        """The server's answer."""
        self._server.sendall(self.request)
        return _message(self._server)

    def answer(self, raw: bytes) -> None:
        self._client.sendall(raw)


class Proxy:
    """Passes requests on, one at a time of each connection, unless `fault` wants one."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.fault: Fault | None = None
        self.lines: list[str] = []
        """The first line of each request seen."""
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(client)
            self._threads.append(threading.Thread(target=self._serve, args=(client,)))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._target) as server:
            self._sockets.append(server)
            while request := _message(client):
                exchange = Exchange(request, client, server)
                self.lines.append(exchange.line)
                fault = self.fault
                if fault is not None and fault(exchange):
                    return
                if not (answer := exchange.forward()):
                    return  # the server has closed its side
                client.sendall(answer)


def _message(source: socket.socket) -> bytes:
    held = b""
    while b"\r\n\r\n" not in held:
        if not (chunk := source.recv(1 << 16)):
            return b""
        held += chunk
    head, _, _ = held.partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    total = len(head) + 4 + (int(found[1]) if found else 0)
    while len(held) < total:
        if not (chunk := source.recv(1 << 20)):
            return b""
        held += chunk
    return held


def answer(status: int, body: bytes = b"{}", kind: str = "application/json") -> bytes:
    """An HTTP answer."""
    head = f"HTTP/1.1 {status} Some Reason\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
