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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from sqlalchemy.exc import SQLAlchemyError

from mlops.entities import Deployment, DeploymentState, Endpoint, Target
from mlops.errors import DeploymentNotFound, InvalidInput, ServiceError, ServiceUnavailable
from mlops.serving.connections import MOST_CUTS, Answer, Connections, Question, Tried
from mlops.serving.inference_log import InferenceLog, LogCounts
from mlops.serving.load import Load
from mlops.store.notify import ROUTES
from mlops.store.store import Store
from mlops.store.traffic import Traffic
from mlops.traces import Traces

log = logging.getLogger(__name__)

_JSON = {"Content-Type": "application/json"}
_QUESTIONS = frozenset({"/v2/metadata", "/signature"})
"""What replicas are asked of the model itself."""
_NONE = 503
"""The status of no answer."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0

LONGEST_S = 60.0
"""After this an answer is not waited for any longer."""
_LOOK_AGAIN_S = 0.2
_MOST_WAITING, _MOST_WAITING_BYTES = 512, 64 * 1024 * 1024
"""Requests, and bytes of their bodies, that wait for a model that has lost all its replicas; more get 503."""
_REPORT_S = 1.0
_MOST_SHADOWED = 16
"""Requests that shadows work on at a time; more are not shown to them."""
_CANARY_SHARE = 0.5
"""Of the deadline, before the champion is asked in the canary's place."""

Key = tuple[str, str]
Routes = dict[Key, Endpoint]


@dataclass(slots=True)
class _Asked:
    """One deployment's part in a request."""

    load: Load | None = None
    """None for a question about the model itself."""
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
        traces: Traces | None = None,
    ) -> None:
        self._store = store
        self._database_url = database_url
        self._connections = Connections(replica_secret, traces or Traces())
        self._deadline_s = deadline_s
        self._reload_every_s = reload_every_s
        self._routes: Routes = {}
        self._loading = asyncio.Lock()
        self._load_began = 0.0
        self._load: asyncio.Future[Routes] | None = None
        self._traffic: dict[int, Traffic] = {}
        self._loads: dict[int, Load] = {}
        self._log = InferenceLog()
        self._waiting = self._waiting_bytes = 0
        self._shadowed: set[asyncio.Task[None]] = set()
        self._reporting: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the connection pool and follow the routes; does not wait for Postgres."""
        await self._connections.open()
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
        await self._connections.close()

    def replicas(self, project: str, model: str) -> tuple[str, ...]:
        """URLs of the known replicas, for status pages and tests."""
        found = self._routes.get((project, model))
        return tuple(replica.url for replica in found.champion.replicas) if found else ()

    @property
    def logged(self) -> LogCounts:
        """What became of the inferences that were to be logged."""
        return self._log.counts

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
        arrived: float | None = None,
    ) -> Answer:
        """Have a replica answer `{"inputs": …}` with `{"outputs": …}`, or what else it takes at `path`, with
        `headers` beside the body. With a `version`, the champion or canary of that version answers alone. The
        deadline may be sooner than the router's, and counts from when the request `arrived`, by the loop's
        clock; from now without that.

        A canary answers its share of the callers: the same `caller` always or never, callers without a name
        by chance. Where it fails, the champion answers. A shadow is asked, too, and not waited for.

        Raises `DeploymentNotFound`; `ServiceUnavailable` when no replica answers within the deadline,
        or the deployment is still on its way; `ServiceError` when a replica breaks its contract.
        An error of the caller's (4xx, in the one shape) is an `Answer`.
        """
        deadline_s = min(self._deadline_s, deadline_s or self._deadline_s)
        until = (asyncio.get_running_loop().time() if arrived is None else arrived) + deadline_s
        of_model = path in _QUESTIONS
        request = Question(body, request_id, deadline_s, until, path, headers or _JSON, of_model=of_model)
        try:
            endpoint = self._routes.get((project, model))
            if endpoint is None:
                async with asyncio.timeout_at(until):
                    endpoint, waited = await self._find((project, model), request)
                request = replace(request, waited=waited)
            if not of_model and self._log.wants((project, model), endpoint.log_share):
                request = replace(request, logged=True)
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

    async def _infer(self, endpoint: Endpoint, request: Question, caller: str) -> Answer:
        if endpoint.shadow is not None and len(self._shadowed) < _MOST_SHADOWED:
            task = asyncio.create_task(self._show(endpoint.shadow, request))
            self._shadowed.add(task)
            task.add_done_callback(self._shadowed.discard)
        if endpoint.canary is not None and _takes(endpoint.canary.deployment, caller):
            answer = await self._spared(endpoint.canary, request)
            if answer is not None:
                return answer
        return await self._champion(endpoint.champion, request)

    async def _champion(self, target: Target, request: Question) -> Answer:
        deployment, tried = target.deployment, Tried()
        if not self._admits(target, request):
            raise _unavailable(deployment.model, "more requests wait for it than it can answer in time")
        with self._counted(target, request) as asked:
            async with asyncio.timeout_at(request.until):
                answer = await self._connections.answer_of(target, request, tried)
                if answer is None:  # its replicas may have moved
                    with contextlib.suppress(ServiceUnavailable):
                        await self.reload()
                    answer = await self._connections.answer_of(self._moved(target), request, tried)
                if answer is None and asked.load is not None and (request.waited or not tried.busy):
                    with asked.load.aside():
                        answer = await self._later(target, request, tried)
            if answer is None:
                raise _unavailable(deployment.model, _told(tried))
            asked.answer = answer
            return answer

    async def _later(self, target: Target, request: Question, tried: Tried) -> Answer | None:
        """The answer of a replica that comes back, as after a restart of Ray: what was accepted is not lost.
        None where as many as may wait for one already, or the request itself seems to end replicas."""
        with self._place(request) as has_place:
            while has_place and tried.cuts < MOST_CUTS:
                await asyncio.sleep(_LOOK_AGAIN_S)
                tried.urls.clear()
                answer = await self._connections.answer_of(self._moved(target), request, tried)
                if answer is not None:
                    return answer
        return None

    @contextlib.contextmanager
    def _place(self, request: Question) -> Iterator[bool]:
        """Whether there is a place to wait in; the deadline ends the waiting."""
        size = len(request.body)
        if self._waiting >= _MOST_WAITING or self._waiting_bytes + size > _MOST_WAITING_BYTES:
            yield False
            return
        self._waiting += 1
        self._waiting_bytes += size
        try:
            yield True
        finally:
            self._waiting -= 1
            self._waiting_bytes -= size

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

    async def _spared(self, canary: Target, request: Question) -> Answer | None:
        """The canary's answer; None where it fails, which the caller is spared."""
        until = request.until - (1 - _CANARY_SHARE) * request.deadline_s
        try:
            return await self._beside(canary, request, until)
        except (ServiceError, TimeoutError) as error:
            log.warning("canary %s of %s: %r", canary.deployment.version, canary.deployment.model, error)
            return None

    async def _show(self, shadow: Target, request: Question) -> None:
        with contextlib.suppress(ServiceError, TimeoutError):
            await self._beside(shadow, request, request.until)

    async def _beside(self, target: Target, request: Question, until: float) -> Answer | None:
        """What a canary or a shadow answers; None where it fails."""
        if not self._admits(target, request):
            return None
        with self._counted(target, request) as asked:
            async with asyncio.timeout_at(until):
                asked.answer = await self._connections.answer_of(target, request, Tried())
        return None if asked.failed else asked.answer

    def _load_of(self, target: Target) -> Load:
        deployment = target.deployment
        load = self._loads.get(deployment.id)
        if load is None:
            load = self._loads[deployment.id] = Load(deployment)
        load.deployment = deployment  # its side may have changed
        return load

    def _admits(self, target: Target, request: Question) -> bool:
        """Whether the deployment is likely to answer in time; else the refusal is counted."""
        if request.waited or request.of_model:
            return True
        load = self._load_of(target)
        left_s = request.until - asyncio.get_running_loop().time()
        admitted = load.takes(left_s, len(target.replicas))
        load.refused += not admitted
        return admitted

    @contextlib.contextmanager
    def _counted(self, target: Target, request: Question) -> Iterator[_Asked]:
        """Count, and log, what is answered inside, and how long it takes; a caller that hangs up is not
        counted, nor is a question about the model itself."""
        if request.of_model:
            yield _Asked()
            return
        load = self._load_of(target)
        asked, began = _Asked(load), time.perf_counter()
        beside = load.under_way
        load.under_way += 1
        try:
            yield asked
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._count(load, request, began, beside, None)
            raise
        else:
            self._count(load, request, began, beside, asked.answer)
        finally:
            load.under_way -= 1

    def _count(self, load: Load, request: Question, began: float, beside: int, answer: Answer | None) -> None:
        seconds = time.perf_counter() - began
        status = _NONE if answer is None else answer.status
        load.record(seconds, beside, failed=status >= 500)
        self._traffic.setdefault(load.deployment.id, Traffic()).record(seconds, failed=status >= 500)
        if answer is not None:
            load.work.record(answer.work)
        if request.logged:
            features = None if answer is None else answer.features
            self._log.offer(load.deployment, request.id, status, seconds, features)

    async def _find(self, key: Key, request: Question) -> tuple[Endpoint, bool]:
        """The endpoint, and whether it had to be waited for."""
        await self.reload()
        if key in self._routes:
            return self._routes[key], False
        project, model = key
        known = await asyncio.to_thread(self._store.deployments.all, project)
        states = [deployment.state for deployment in known if deployment.model == model]
        if DeploymentState.RUNNING in states:  # it has lost its replicas, as in a restart of Ray
            with self._place(request) as has_place:
                while has_place:
                    await asyncio.sleep(_LOOK_AGAIN_S)
                    if key in self._routes:
                        return self._routes[key], True
        going = (DeploymentState.FAILED, DeploymentState.STOPPING)
        coming = [state for state in states if state not in going]
        if coming:
            raise _unavailable(model, f"it is {coming[0].value}, without a replica yet")
        raise DeploymentNotFound(project, model)

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
        else:
            self._log.written += len(rows)

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


def _told(tried: Tried) -> str:
    if tried.cuts == MOST_CUTS:
        return f"{MOST_CUTS} of its replicas ended, or hung up, over this request"
    return (
        f"none of its {len(tried.urls)} replicas {'takes more for now' if tried.busy else 'can be reached'}"
    )


def _unavailable(model: str, detail: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"model {model!r}", detail, remedy="Try again in a moment; see `mlops:list-deployments`."
    )
