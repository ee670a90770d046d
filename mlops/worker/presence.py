"""A connection to Postgres of one's own: the lock that keeps its holder single, and a doorbell."""

from __future__ import annotations

import contextlib

import psycopg

from mlops.errors import ServiceUnavailable
from mlops.store.notify import DEPLOYMENTS

# Any fixed numbers of our own; migrations and partitions have 7_201_811 and 7_201_813.
WORKER_LOCK, WATCH_LOCK, DRIFT_LOCK, INDEX_LOCK = 7_201_812, 7_201_814, 7_201_815, 7_201_818


class Presence:
    """Holds the advisory lock for as long as the connection lives. Who loses the connection loses the lock
    with it, and asks for it again before touching anything. Belongs to one thread."""

    def __init__(self, url: str, lock: int = WORKER_LOCK) -> None:
        self._url = url
        self._lock = lock
        self._connection: psycopg.Connection | None = None
        self._held = False

    def hold(self) -> bool:
        """Whether this is the one holder; asks for the lock where it is not held yet. Raises
        `ServiceUnavailable("postgres")`."""
        try:
            if self._connection is None or self._connection.closed:
                self._connect()
            assert self._connection is not None  # noqa: S101
            if not self._held:
                row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (self._lock,)).fetchone()
                self._held = bool(row and row[0])
        except psycopg.Error as error:
            self.let_go()
            raise ServiceUnavailable("postgres", str(error).strip()) from None
        return self._held

    def wait(self, seconds: float) -> bool:
        """Sleep until a wish about deployments changes (True) or the time is up; raises
        `ServiceUnavailable("postgres")` when the connection breaks meanwhile."""
        if self._connection is None:
            raise ServiceUnavailable("postgres", "not connected")
        try:
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except psycopg.Error as error:
            self.let_go()
            raise ServiceUnavailable("postgres", str(error).strip()) from None

    def let_go(self) -> None:
        """Close the connection, and with it the lock."""
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _connect(self) -> None:
        self._held = False
        self._connection = psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=5,
            application_name="mlops-worker",
            keepalives_idle=10,
            keepalives_interval=3,
            keepalives_count=3,
        )
        self._connection.execute(f"LISTEN {DEPLOYMENTS}")
