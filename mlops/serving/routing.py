"""Which replica answers for which model, kept in memory and refreshed as it changes.

The gateway's data plane: routes come from the platform's database, by NOTIFY and every few seconds
besides; while Postgres is away the last known routes go on answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from sqlalchemy.exc import SQLAlchemyError

from mlops.entities import Deployment, DeploymentState, Endpoint, Replica, Target
from mlops.errors import DeploymentNotFound, InvalidInput, ServiceError, ServiceUnavailable
from mlops.serving.headers import (
    FEATURES_HEADER,
    HEADER_LENGTH,
    LOG_HEADER,
    MODEL_HEADER,
    REQUEST_ID_HEADER,
    SECRET_HEADER,
    VERSION_HEADER,
)
from mlops.serving.inference_log import InferenceLog
from mlops.store.notify import ROUTES
from mlops.store.store import Store
from mlops.store.traffic import Traffic

log = logging.getLogger(__name__)

_JSON = {"Content-Type": "application/json"}
_LOGGED = {LOG_HEADER: "1"}
_QUESTIONS = frozenset({"/v2/metadata", "/signature"})
"""What replicas are asked of the model itself."""
_NONE = 503
"""The status of no answer."""
_MOST_HEADER = 16 * 1024

# Shorter than any server's own keep-alive time-out, so that a pooled connection is not one that
# the replica is just closing.
_KEEP_ALIVE_S = 4.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0

LONGEST_S = 30.0
"""After this an answer is not waited for any longer."""
_REPORT_S = 1.0
_MOST_SHADOWED = 16
"""Requests that shadows work on at a time; more are not shown to them."""
_CANARY_SHARE = 0.5
"""Of the deadline, before the champion is asked in the canary's place."""

Key = tuple[str, str]
Routes = dict[Key, Endpoint]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replica said: outputs, or an error of the caller's in the one JSON shape."""

    status: int
    body: bytes
    content_type: str
    version: int
    """Of the model that answered."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the protocol needs beside the body."""
    features: str | None = None
    """Of inputs and outputs, as JSON, where they go into the log."""


@dataclass(slots=True)
class Load:
    """What a deployment answered since this gateway began, and what it works on."""

    deployment: Deployment
    traffic: Traffic = field(default_factory=Traffic)
    seconds: float = 0.0
    """All its latencies together."""
    under_way: int = 0


@dataclass(frozen=True, slots=True)
class _Request:
    body: bytes
    id: str
    deadline_s: float
    until: float
    """The deadline, by the loop's clock."""
    path: str
    headers: Mapping[str, str]
    logged: bool = False


@dataclass(slots=True)
class _Asked:
    """One deployment's part in a request."""

    answer: Answer | None = None

    @property
    def failed(self) -> bool:
        """Whether it gave no answer, or one that the caller is not to blame for."""
        return self.answer is None or self.answer.status >= 500


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
        deadline_s: float = LONGEST_S,
        reload_every_s: float = 5.0,
    ) -> None:
        self._store = store
        self._database_url = database_url
        self._headers = {SECRET_HEADER: replica_secret}
        self._deadline_s = deadline_s
        self._reload_every_s = reload_every_s
        self._routes: Routes = {}
        self._loading = asyncio.Lock()
        self._load_began = 0.0
        self._load: asyncio.Future[Routes] | None = None
        self._in_flight: Counter[str] = Counter()
        self._turn = 0
        self._traffic: dict[int, Traffic] = {}
        self._loads: dict[int, Load] = {}
        self._log = InferenceLog()
        self._shadowed: set[asyncio.Task[None]] = set()
        self._reporting: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the connection pool and follow the routes; does not wait for Postgres."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            max_field_size=_MOST_HEADER,
            timeout=aiohttp.ClientTimeout(total=None),  # the deadline is ours, over all tries
        )
        self._following = asyncio.create_task(self._follow(), name="routes")
        self._reporting = asyncio.create_task(self._report(), name="traffic")

    async def stop(self) -> None:
        """Stop following and close the connections."""
        for task in (self._following, self._reporting, *self._shadowed):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._tell()
        if self._load is not None:  # a thread cannot be cancelled, and holds a connection
            await asyncio.wait([self._load], timeout=_LONGEST_PAUSE_S)
        if self._session is not None:
            await self._session.close()

    def replicas(self, project: str, model: str) -> tuple[str, ...]:
        """URLs of the known replicas, for status pages and tests."""
        found = self._routes.get((project, model))
        return tuple(replica.url for replica in found.champion.replicas) if found else ()

    @property
    def unlogged(self) -> int:
        """Inferences that were to be logged and were dropped, since they could not be written in time."""
        return self._log.dropped

    def loads(self) -> list[Load]:
        """What each deployment that is routed answered since `start`, by project and model."""
        return sorted(self._loads.values(), key=lambda load: (load.deployment.project, load.deployment.model))

    async def infer(
        self,
        project: str,
        model: str,
        body: bytes,
        *,
        request_id: str = "",
        caller: str = "",
        path: str = "/predict",
        headers: Mapping[str, str] | None = None,
        version: int | None = None,
        deadline_s: float | None = None,
    ) -> Answer:
        """Have a replica answer `{"inputs": …}` with `{"outputs": …}`, or what else it takes at `path`, with
        `headers` beside the body. With a `version`, the champion or canary of that version answers alone. The
        deadline may be sooner than the router's.

        A canary answers its share of the callers: the same `caller` always or never, callers without a name
        by chance. Where it fails, the champion answers. A shadow is asked, too, and not waited for.

        Raises `DeploymentNotFound`; `ServiceUnavailable` when no replica answers within the deadline,
        or the deployment is still on its way; `ServiceError` when a replica breaks its contract.
        An error of the caller's (4xx, in the one shape) is an `Answer`.
        """
        deadline_s = min(self._deadline_s, deadline_s or self._deadline_s)
        until = asyncio.get_running_loop().time() + deadline_s
        try:
            async with asyncio.timeout_at(until):
                endpoint = self._routes.get((project, model)) or await self._find((project, model))
            logged = path not in _QUESTIONS and self._log.wants((project, model), endpoint.log_share)
            request = _Request(body, request_id, deadline_s, until, path, headers or _JSON, logged)
            if version is not None:
                return await self._champion(_of_version(endpoint, version), request)
            return await self._infer(endpoint, request, caller)
        except TimeoutError:
            raise _unavailable(model, f"no answer within {deadline_s:g} s") from None

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
            routed = self._routed()
            self._loads = {number: load for number, load in self._loads.items() if number in routed}

    async def _infer(self, endpoint: Endpoint, request: _Request, caller: str) -> Answer:
        if endpoint.shadow is not None and len(self._shadowed) < _MOST_SHADOWED:
            task = asyncio.create_task(self._show(endpoint.shadow, request))
            self._shadowed.add(task)
            task.add_done_callback(self._shadowed.discard)
        if endpoint.canary is not None and _takes(endpoint.canary.deployment, caller):
            answer = await self._spared(endpoint.canary, request)
            if answer is not None:
                return answer
        return await self._champion(endpoint.champion, request)

    async def _champion(self, target: Target, request: _Request) -> Answer:
        deployment, tried = target.deployment, set[str]()
        with self._counted(deployment, request) as asked:
            async with asyncio.timeout_at(request.until):
                answer = await self._answer_of(target, request, tried)
                if answer is None:  # its replicas may have moved
                    with contextlib.suppress(ServiceUnavailable):
                        await self.reload()
                    answer = await self._answer_of(self._moved(target), request, tried)
            if answer is None:
                raise _unavailable(deployment.model, f"none of its {len(tried)} replicas can be reached")
            asked.answer = answer
            return answer

    def _routed(self) -> set[int]:
        sides = [
            each for route in self._routes.values() for each in (route.champion, route.canary, route.shadow)
        ]
        return {target.deployment.id for target in sides if target is not None}

    def _moved(self, target: Target) -> Target:
        """The same deployment as the routes have it now, else the champion."""
        found = self._routes.get((target.deployment.project, target.deployment.model))
        if found is None:
            return target
        if found.canary is not None and found.canary.deployment.id == target.deployment.id:
            return found.canary
        return found.champion

    async def _spared(self, canary: Target, request: _Request) -> Answer | None:
        """The canary's answer; None where it fails, which the caller is spared."""
        until = request.until - (1 - _CANARY_SHARE) * request.deadline_s
        try:
            return await self._beside(canary, request, until)
        except (ServiceError, TimeoutError) as error:
            log.warning("canary %s of %s: %r", canary.deployment.version, canary.deployment.model, error)
            return None

    async def _show(self, shadow: Target, request: _Request) -> None:
        with contextlib.suppress(ServiceError, TimeoutError):
            await self._beside(shadow, request, request.until)

    async def _beside(self, target: Target, request: _Request, until: float) -> Answer | None:
        """What a canary or a shadow answers; None where it fails."""
        with self._counted(target.deployment, request) as asked:
            async with asyncio.timeout_at(until):
                asked.answer = await self._answer_of(target, request, set())
        return None if asked.failed else asked.answer

    async def _answer_of(self, target: Target, request: _Request, tried: set[str]) -> Answer | None:
        """The answer of the first replica that can be reached; None where none can."""
        for url in self._order(target.replicas, tried):
            tried.add(url)
            answer = await self._ask(url, target.deployment, request)
            if answer is not None:
                return answer
        return None

    @contextlib.contextmanager
    def _counted(self, deployment: Deployment, request: _Request) -> Iterator[_Asked]:
        """Count, and log, what is answered inside, and how long it takes; a caller that hangs up is not
        counted, nor is a question about the model itself."""
        asked, began = _Asked(), time.perf_counter()
        if request.path in _QUESTIONS:
            yield asked
            return
        load = self._loads.setdefault(deployment.id, Load(deployment))
        load.deployment = deployment  # its side may have changed
        load.under_way += 1
        try:
            yield asked
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._count(load, request, began, None)
            raise
        else:
            self._count(load, request, began, asked.answer)
        finally:
            load.under_way -= 1

    def _count(self, load: Load, request: _Request, began: float, answer: Answer | None) -> None:
        seconds = time.perf_counter() - began
        status = _NONE if answer is None else answer.status
        load.seconds += seconds
        for traffic in (load.traffic, self._traffic.setdefault(load.deployment.id, Traffic())):
            traffic.record(seconds, failed=status >= 500)
        if request.logged:
            features = None if answer is None else answer.features
            self._log.offer(load.deployment, request.id, status, seconds, features)

    async def _find(self, key: Key) -> Endpoint:
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

    async def _ask(self, url: str, deployment: Deployment, request: _Request) -> Answer | None:
        """One replica's answer; None when another one should be asked."""
        assert self._session is not None, "Router.start was not called"  # noqa: S101
        self._in_flight[url] += 1
        try:
            async with self._session.post(
                f"{url.rstrip('/')}{request.path}",
                data=request.body,
                headers={
                    **self._headers,
                    **request.headers,
                    REQUEST_ID_HEADER: request.id,
                    MODEL_HEADER: deployment.model,
                    VERSION_HEADER: str(deployment.version),
                    **(_LOGGED if request.logged else {}),
                },
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            log.warning("replica %s of %s/%s: %s", url, deployment.project, deployment.model, error)
            return None
        finally:
            self._in_flight[url] -= 1
            if not self._in_flight[url]:
                del self._in_flight[url]
        return _judge(deployment, response.status, response.content_type, response.headers, content)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_S)
            await self._tell()

    async def _tell(self) -> None:
        """Write down what was answered since the last time."""
        await self._tell_traffic()
        rows = self._log.take()
        try:
            await asyncio.to_thread(self._store.inferences.add, rows)
        except (ServiceUnavailable, SQLAlchemyError) as error:
            log.warning("%s inferences are logged later: %s", len(rows), str(error).splitlines()[0])
            self._log.put_back(rows)

    async def _tell_traffic(self) -> None:
        told, self._traffic = self._traffic, {}
        try:
            await asyncio.to_thread(self._store.traffic.add, told)
        except (ServiceUnavailable, SQLAlchemyError) as error:
            log.warning("traffic is told later: %s", str(error).splitlines()[0])
            for number, traffic in told.items():
                self._traffic.setdefault(number, Traffic()).add(traffic)

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


def _of_version(endpoint: Endpoint, version: int) -> Target:
    for target in (endpoint.champion, endpoint.canary):
        if target is not None and target.deployment.version == version:
            return target
    champion = endpoint.champion.deployment
    raise InvalidInput(
        "version",
        version,
        f"of model {champion.model!r} does not answer here",
        remedy=f"Version {champion.version} does: leave the version out, or deploy the other.",
    )


def _takes(canary: Deployment, caller: str) -> bool:
    """Whether the canary answers this caller. A caller's place is its own for the model, so that a larger
    weight takes further callers, and keeps those it had."""
    if not caller:
        return random.random() * 100 < canary.weight  # noqa: S311 - a share, no secret
    place = hashlib.sha256(f"{canary.project}\n{canary.model}\n{caller}".encode()).digest()
    return int.from_bytes(place[:4], "big") / 2**32 * 100 < canary.weight


def _judge(
    deployment: Deployment, status: int, kind: str, headers: Mapping[str, str], content: bytes
) -> Answer | None:
    beside = {name: headers[name] for name in (HEADER_LENGTH,) if name in headers}
    in_our_shape = kind == "application/json" or bool(beside)
    if status == 503 or (status == 404 and not in_our_shape):
        return None  # draining, or a port that has become another program's
    if in_our_shape and status not in (401, 403):
        return Answer(status, content, kind, deployment.version, beside, headers.get(FEATURES_HEADER))
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
