"""How channels reach outwards: to addresses that were checked, and for a bounded time.

Where a channel goes is a project's to say, and the worker goes there, from inside the network. So a name is
resolved once, every address it has must be allowed, and the connection is made to one of exactly those: a
name that points elsewhere a moment later (rebinding) changes nothing. TLS still verifies the name.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType

import httpcore

from mlops.errors import ConfigError, NotDelivered
from mlops.monitoring.channels.public import Address, Network, may_reach
from mlops.monitoring.channels.wording import cleaned

Resolver = Callable[[str, int], Iterable[str]]
"""All addresses of a host, as texts; raises `OSError` where it has none."""

_REASON_CHARS = 200


def resolve(host: str, port: int) -> Iterable[str]:
    """What the system's resolver says; raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return dict.fromkeys(str(each[4][0]) for each in found)


@dataclass(frozen=True)
class Reach:
    """How far channels may reach. All of it is the administrator's to set, never a project's."""

    allowed: tuple[Network, ...] = ()
    """Networks of the inside that may be reached, besides every public address."""
    ca_file: Path | None = None
    """PEM certificates of authorities that are trusted besides the usual ones."""
    timeout_s: float = 10.0
    """How long one delivery may take, from resolving the name to the receiver's answer."""
    resolver: Resolver = resolve

    def tls(self) -> ssl.SSLContext:
        """For TLS that verifies certificate and name: one for all channels, since loading the certificates
        takes some 45 ms. Raises `ConfigError` for a bad `ca_file`."""
        return self._tls

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        context = httpcore.default_ssl_context()
        if self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except OSError as error:  # ssl.SSLError is one
                raise ConfigError(
                    f"{self.ca_file}: holds no certificates that can be read",
                    remedy="Give a PEM file of certificates that this user may read.",
                    ca_file=str(self.ca_file),
                ) from error
        return context


PUBLIC = Reach()
"""Public addresses alone."""


class Call:
    """One delivery of a channel: what it connects is cut off when the time is up.

    A time-out of a socket bounds each of its reads, and so nothing with a receiver that sends a byte now and
    then; the cut bounds them all together."""

    def __init__(self, channel: str, reach: Reach) -> None:
        self._channel = channel
        self._reach = reach
        self._ends = time.monotonic() + reach.timeout_s
        self._lock = threading.Lock()
        self._late = False
        self._connected: list[socket.socket] = []
        self._timer = threading.Timer(reach.timeout_s, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Call:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            while self._connected:
                self._connected.pop().close()

    @property
    def left_s(self) -> float:
        """Seconds until the cut; 0 after it."""
        return max(0.0, self._ends - time.monotonic())

    def connect(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> socket.socket:
        """A connection to the host, whose addresses are checked, by TLS where that is given; the caller
        closes it. Raises `NotDelivered`."""
        connection = self._connect(host, port)
        if tls is None:
            return connection
        try:
            return tls.wrap_socket(connection, server_hostname=host)
        except OSError as error:  # the connection is closed then
            raise self.failed(error) from error

    def _connect(self, host: str, port: int) -> socket.socket:
        problem: Exception = OSError("it has no address")
        addresses = self._addresses(host, port)
        for tried, address in enumerate(addresses):
            if self.left_s == 0:
                raise self.failed(TimeoutError())
            # One that is mute, as IPv6 is in places, leaves its share of the time to the others.
            share_s = self.left_s / (len(addresses) - tried)
            try:
                connection = socket.create_connection((str(address), port), timeout=share_s)
            except OSError as error:
                problem = error
            else:
                self._watch(connection)
                return connection
        raise self.failed(problem)

    def failed(self, error: Exception) -> NotDelivered:
        """What the failure of a connection comes to."""
        if self._late or isinstance(error, TimeoutError):
            why = f"no answer within {self._reach.timeout_s:g} s"
            return NotDelivered(self._channel, why, again=True)
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is not trusted: {error.verify_message}"
            return NotDelivered(self._channel, why, again=False)
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return NotDelivered(self._channel, cleaned(why, _REASON_CHARS), again=True)

    def _addresses(self, host: str, port: int) -> list[Address]:
        found = [ip_address(each) for each in self._resolved(host, port)]
        if not all(may_reach(each, self._reach.allowed) for each in found):
            # Not which: a project need not learn what the inside looks like.
            why = f"{host} has an address inside the network, where channels may not reach"
            raise NotDelivered(self._channel, why, again=False)
        return found

    def _resolved(self, host: str, port: int) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(list(self._reach.resolver(host, port)))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        # The system's resolver has no time-out that could be given.
        threading.Thread(target=ask, name="mlops-resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=self.left_s)
        except queue.Empty:
            raise self.failed(TimeoutError()) from None
        if isinstance(answer, Exception):
            raise self.failed(answer) from answer
        return answer

    def _watch(self, connection: socket.socket) -> None:
        connection.settimeout(self._reach.timeout_s)
        # A duplicate: TLS takes the socket itself over, and may be cut in its handshake too.
        with self._lock:
            if not self._late:
                self._connected.append(connection.dup())
                return
        connection.close()
        raise self.failed(TimeoutError())

    def _cut(self) -> None:
        with self._lock:
            self._late = True
            for each in self._connected:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
