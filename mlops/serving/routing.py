"""Which replica answers for which model, kept in memory and refreshed as it changes.

The gateway's data plane: routes come from the platform's database, by NOTIFY and every few seconds
besides; while Postgres is away the last known routes go on answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from sqlalchemy.exc import SQLAlchemyError

from mlops.entities import Deployment, DeploymentState, Replica
from mlops.errors import DeploymentNotFound, ServiceError, ServiceUnavailable
from mlops.store.notify import ROUTES
from mlops.store.store import Store

log = logging.getLogger(__name__)

SECRET_HEADER = "X-MLOps-Replica-Secret"  # noqa: S105 - the header's name
REQUEST_ID_HEADER = "X-Request-Id"

# Shorter than any server's own keep-alive time-out, so that a pooled connection is not one that
# the replica is just closing.
_KEEP_ALIVE_S = 4.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0

Key = tuple[str, str]
Routes = dict[Key, tuple[Deployment, list[Replica]]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replica said: outputs, or an error of the caller's in the one JSON shape."""

    status: int
    body: bytes
    content_type: str
    version: int
    """Of the model that answered."""


class Router:
    """Sends inferences of (project, model) straight to a replica.

    `start` and `stop` bound its life; `infer` may be called in between, from one event loop.
    """

    def __init__(
        self,
        store: Store,
        *,
        database_url: str,
        replica_secret: str,
        deadline_s: float = 30.0,
        reload_every_s: float = 5.0,
    ) -> None:
        self._store = store
        self._database_url = database_url
        self._headers = {SECRET_HEADER: replica_secret, "Content-Type": "application/json"}
        self._deadline_s = deadline_s
        self._reload_every_s = reload_every_s
        self._routes: Routes = {}
        self._loading = asyncio.Lock()
        self._load_began = 0.0
        self._load: asyncio.Future[Routes] | None = None
        self._in_flight: Counter[str] = Counter()
        self._turn = 0
        self._session: aiohttp.ClientSession | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the connection pool and follow the routes; does not wait for Postgres."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # the deadline is ours, over all tries
        )
        self._following = asyncio.create_task(self._follow(), name="routes")

    async def stop(self) -> None:
        """Stop following and close the connections."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        if self._load is not None:  # a thread cannot be cancelled, and holds a connection
            await asyncio.wait([self._load], timeout=_LONGEST_PAUSE_S)
        if self._session is not None:
            await self._session.close()

    def replicas(self, project: str, model: str) -> tuple[str, ...]:
        """URLs of the known replicas, for status pages and tests."""
        _, found = self._routes.get((project, model), (None, []))
        return tuple(replica.url for replica in found)

    async def infer(self, project: str, model: str, body: bytes, *, request_id: str = "") -> Answer:
        """Have a replica answer `{"inputs": …}` with `{"outputs": …}`.

        Raises `DeploymentNotFound`; `ServiceUnavailable` when no replica answers within the deadline,
        or the deployment is still on its way; `ServiceError` when a replica breaks its contract.
        An error of the caller's (4xx, in the one shape) is an `Answer`.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._infer((project, model), body, request_id)
        except TimeoutError:
            raise _unavailable(model, f"no answer within {self._deadline_s:g} s") from None

    async def reload(self) -> None:
        """Read the routes anew; raises `ServiceUnavailable` and keeps the old ones without Postgres.

        Callers that wait together share one reading that began after they asked.
        """
        asked = time.monotonic()
        async with self._loading:
            if self._load_began > asked:
                return
            self._load_began = time.monotonic()
            self._load = asyncio.ensure_future(asyncio.to_thread(self._store.deployments.routes))
            self._routes = await asyncio.shield(self._load)

    async def _infer(self, key: Key, body: bytes, request_id: str) -> Answer:
        route = self._routes.get(key) or await self._find(key)
        tried: set[str] = set()
        for last in (False, True):
            deployment, replicas = route
            for url in self._order(replicas, tried):
                tried.add(url)
                answer = await self._ask(url, deployment, body, request_id)
                if answer is not None:
                    return answer
            if not last:
                with contextlib.suppress(ServiceUnavailable):
                    await self.reload()
                route = self._routes.get(key, route)
        raise _unavailable(key[1], f"none of its {len(tried)} replicas can be reached")

    async def _find(self, key: Key) -> tuple[Deployment, list[Replica]]:
        await self.reload()
        if key in self._routes:
            return self._routes[key]
        project, model = key
        known = await asyncio.to_thread(self._store.deployments.all, project)
        states = [deployment.state for deployment in known if deployment.model == model]
        going = (DeploymentState.FAILED, DeploymentState.STOPPING)
        coming = [state for state in states if state not in going]
        if coming:
            raise _unavailable(model, f"it is {coming[0].value}, without a replica yet")
        raise DeploymentNotFound(project, model)

    def _order(self, replicas: Sequence[Replica], tried: set[str]) -> list[str]:
        """Least busy first, in turn among equals."""
        urls = [replica.url for replica in replicas if replica.url not in tried]
        if len(urls) < 2:
            return urls
        self._turn = (self._turn + 1) % len(urls)
        return sorted(urls[self._turn :] + urls[: self._turn], key=self._in_flight.__getitem__)

    async def _ask(self, url: str, deployment: Deployment, body: bytes, request_id: str) -> Answer | None:
        """One replica's answer; None when another one should be asked."""
        assert self._session is not None, "Router.start was not called"  # noqa: S101
        self._in_flight[url] += 1
        try:
            async with self._session.post(
                f"{url.rstrip('/')}/predict",
                data=body,
                headers={**self._headers, REQUEST_ID_HEADER: request_id},
                allow_redirects=False,
            ) as response:
                status, kind, content = response.status, response.content_type, await response.read()
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            log.warning("replica %s of %s/%s: %s", url, deployment.project, deployment.model, error)
            return None
        finally:
            self._in_flight[url] -= 1
            if not self._in_flight[url]:
                del self._in_flight[url]
        return _judge(deployment, status, kind, content)

    async def _follow(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._database_url, autocommit=True, connect_timeout=5
                ) as connection:
                    await connection.execute(f"LISTEN {ROUTES}".encode())
                    while True:
                        await self.reload()
                        pause = _FIRST_PAUSE_S
                        async for _ in connection.notifies(timeout=self._reload_every_s, stop_after=1):
                            pass
            except (PostgresError, SQLAlchemyError, ServiceUnavailable, OSError) as error:
                log.warning("routes are kept as they are: %s", str(error).splitlines()[0])
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)


def _judge(deployment: Deployment, status: int, kind: str, content: bytes) -> Answer | None:
    in_our_shape = kind == "application/json"
    if status == 503 or (status == 404 and not in_our_shape):
        return None  # draining, or a port that has become another program's
    if in_our_shape and status not in (401, 403):
        return Answer(status, content, kind, deployment.version)
    raise ServiceError(
        f"a replica of model {deployment.model!r} answered {status} ({kind}) instead of outputs",
        remedy=f"Read `efficientai-toolkit mlops:logs ray`, or deploy {deployment.model} again.",
        project=deployment.project,
        model=deployment.model,
        version=deployment.version,
    )


def _unavailable(model: str, detail: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"model {model!r}", detail, remedy="Try again in a moment; see `mlops:list-deployments`."
    )
