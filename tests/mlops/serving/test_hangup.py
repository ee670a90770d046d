"""Callers that hang up: what they wanted is not computed any more."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import numpy as np
import pytest
from starlette.types import Message

from mlops.serving.hangup import CallerGone, unless_gone
from mlops.serving.replica import ReplicaOptions, create_app
from tests.mlops.serving.models import SECRET


class Slow:
    """Computes one at a time, each until it is let go."""

    takes_files = False
    feature_maker = None

    def __init__(self) -> None:
        self.ran: list[float] = []
        self.go = threading.Event()

    def check(self, inputs: Any) -> Any:
        return {"x": np.asarray(inputs["x"])}

    def run(self, arrays: Any) -> Any:
        self.ran.append(float(arrays["x"][0]))
        assert self.go.wait(30)
        return arrays

    def answer_file(self, body: bytes, infer: Any) -> Any:
        raise NotImplementedError

    def signature(self) -> Any:
        return {"inputs": [], "outputs": None}


async def post(app: Any, number: float, hang_up: asyncio.Event) -> int:
    """The status that the app answers a caller with who hangs up at that event."""
    body = json.dumps({"inputs": {"x": [number]}}).encode()
    sent: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    answered: list[Message] = []

    async def receive() -> Message:
        if sent:
            return sent.pop()
        await hang_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answered.append(message)

    headers = [(b"x-mlops-replica-secret", SECRET.encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b"",
        "headers": headers, "root_path": "", "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    await app(scope, receive, send)
    return int(answered[0]["status"])


def test_what_waits_for_a_thread_is_not_begun_for_a_caller_who_left() -> None:
    model = Slow()
    app = create_app(model, ReplicaOptions(secret=SECRET, concurrency=1))

    async def scenario() -> list[int]:
        stays, leaves = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(post(app, 1, stays))
        while not model.ran:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(post(app, 2, leaves))
        third = asyncio.create_task(post(app, 3, stays))
        await asyncio.sleep(0.1)
        leaves.set()
        gone = await second
        model.go.set()
        return [await first, gone, await third]

    assert asyncio.run(scenario()) == [200, 499, 200]
    assert model.ran == [1, 3]


def test_the_work_of_a_caller_who_left_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def scenario() -> None:
        with pytest.raises(CallerGone):
            await unless_gone(receive, work())
        await asyncio.wait_for(cancelled.wait(), 5)

    asyncio.run(scenario())


def test_what_is_done_or_raised_comes_through() -> None:
    async def never() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def raises() -> None:
        raise ValueError("of the work")

    assert asyncio.run(unless_gone(never, asyncio.sleep(0.01, "done"))) == "done"
    with pytest.raises(ValueError, match="of the work"):
        asyncio.run(unless_gone(never, raises()))
