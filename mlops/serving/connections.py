"""The gateway's kept connections straight to the replicas, and what a replica's answer means."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from mlops.entities import Deployment, Replica, Target
from mlops.errors import ServiceError
from mlops.serving.headers import (
    FEATURES_HEADER,
    HEADER_LENGTH,
    LOG_HEADER,
    MODEL_HEADER,
    REQUEST_ID_HEADER,
    SECRET_HEADER,
    VERSION_HEADER,
    WORK_HEADER,
)
from mlops.traces import Traces

log = logging.getLogger(__name__)

_LOGGED = {LOG_HEADER: "1"}
_MOST_HEADER = 16 * 1024
MOST_CUTS = 3
"""Replicas that one question may be the last of."""
# Shorter than any server's own keep-alive time-out, so that a pooled connection is not one that
# the replica is just closing.
_KEEP_ALIVE_S = 4.0


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
    work: str | None = None
    """How the replica came to it (`mlops.serving.work`)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What replicas are asked for one caller."""

    body: bytes
    id: str
    deadline_s: float
    until: float
    """The deadline, by the loop's clock."""
    path: str
    headers: Mapping[str, str]
    logged: bool = False
    of_model: bool = False
    """Whether it asks of the model itself: no inference, which is neither counted nor waited for."""
    waited: bool = False
    """Whether it has waited for a model without replicas, and is let in whatever else is."""


@dataclass(slots=True)
class Tried:
    """Replicas that gave no answer."""

    urls: set[str] = field(default_factory=set)
    busy: bool = False
    """Whether one of them is there, and takes no more for now."""
    cuts: int = 0
    """How many went away with the question: it may be what ends them."""


class Connections:
    """Asks replicas, the least busy first; `open` and `close` bound its life, in one event loop."""

    def __init__(self, replica_secret: str, traces: Traces) -> None:
        self._headers = {SECRET_HEADER: replica_secret}
        self._traces = traces
        self._in_flight: Counter[str] = Counter()
        self._turn = 0
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Open the pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            max_field_size=_MOST_HEADER,
            timeout=aiohttp.ClientTimeout(total=None),  # the deadline is ours, over all tries
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def answer_of(self, target: Target, question: Question, tried: Tried) -> Answer | None:
        """The answer of the first replica, of those not tried yet, that has one; None where none has.
        Raises `ServiceError` when a replica breaks its contract."""
        for url in self._order(target.replicas, tried.urls):
            if tried.cuts == MOST_CUTS:
                return None
            tried.urls.add(url)
            with self._traces.span("ask replica", "CLIENT", _told(url, target.deployment)):
                answer = await self._ask(url, target.deployment, question, tried)
            if answer is not None:
                return answer
        return None

    def _order(self, replicas: Sequence[Replica], tried: set[str]) -> list[str]:
        """Least busy first, in turn among equals."""
        urls = [replica.url for replica in replicas if replica.url not in tried]
        if len(urls) < 2:
            return urls
        self._turn = (self._turn + 1) % len(urls)
        return sorted(urls[self._turn :] + urls[: self._turn], key=self._in_flight.__getitem__)

    async def _ask(self, url: str, deployment: Deployment, question: Question, tried: Tried) -> Answer | None:
        """One replica's answer; None when another one should be asked."""
        assert self._session is not None, "Connections.open was not called"  # noqa: S101
        self._in_flight[url] += 1
        try:
            async with self._session.post(
                f"{url.rstrip('/')}{question.path}",
                data=question.body,
                headers={
                    **self._headers,
                    **question.headers,
                    REQUEST_ID_HEADER: question.id,
                    MODEL_HEADER: deployment.model,
                    VERSION_HEADER: str(deployment.version),
                    **(_LOGGED if question.logged else {}),
                    **self._traces.headers(),
                },
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            log.warning("replica %s of %s/%s: %r", url, deployment.project, deployment.model, error)
            tried.cuts += not isinstance(error, aiohttp.ClientConnectorError)
            return None
        finally:
            self._in_flight[url] -= 1
            if not self._in_flight[url]:
                del self._in_flight[url]
        tried.busy |= response.status == 503
        return _judge(deployment, response.status, response.content_type, response.headers, content)


def _told(url: str, deployment: Deployment) -> dict[str, str | int | float]:
    return {"url.full": url, "mlops.version": deployment.version, "mlops.side": deployment.side.value}


def _judge(
    deployment: Deployment, status: int, kind: str, headers: Mapping[str, str], content: bytes
) -> Answer | None:
    beside = {name: headers[name] for name in (HEADER_LENGTH,) if name in headers}
    in_our_shape = kind == "application/json" or bool(beside)
    if status == 503 or (status == 404 and not in_our_shape):
        return None  # holds as many as it may, or a port that has become another program's
    if in_our_shape and status not in (401, 403):
        features, work = headers.get(FEATURES_HEADER), headers.get(WORK_HEADER)
        return Answer(status, content, kind, deployment.version, beside, features, work)
    raise ServiceError(
        f"a replica of model {deployment.model!r} answered {status} ({kind}) instead of outputs",
        remedy=f"Read `efficientai-toolkit mlops:logs ray`, or deploy {deployment.model} again.",
        project=deployment.project,
        model=deployment.model,
        version=deployment.version,
    )
