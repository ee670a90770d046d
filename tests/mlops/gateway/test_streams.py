"""Streams of what changes: to whom, when they end, and what a slow source does to them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator

import pytest

from mlops.errors import ServiceUnavailable
from mlops.gateway import streams as module
from mlops.gateway.streams import Streams, changes
from mlops.store.tokens import Principal, Role

ADMIN, ALPHA = Principal(Role.ADMIN, None), Principal(Role.MEMBER, "alpha")


async def _next(stream: AsyncIterator[bytes]) -> dict[str, list[str]]:
    async with asyncio.timeout(10):
        async for event in stream:
            if event.startswith(b"event: change\n"):
                return json.loads(event.partition(b"data: ")[2])
    raise AssertionError("the stream has ended")


def test_each_is_told_what_it_may_see() -> None:
    marks = {"runs": {"alpha": "1", "beta": "1"}, "alerts": {"": "1"}, "status": {"": "1"}}

    async def go() -> None:
        looks = 0

        def look():
            nonlocal looks
            looks += 1
            return {topic: dict(each) for topic, each in marks.items()}

        streams = Streams(look, look_s=0.02)
        admin, alpha = streams.stream(ADMIN), streams.stream(ALPHA)
        assert await anext(admin) == await anext(alpha) == b"retry: 1000\n\n"
        while looks < 2:
            await asyncio.sleep(0.01)
        marks["runs"]["beta"], marks["alerts"][""] = "2", "2"
        assert await _next(admin) in ({"runs": ["beta"], "alerts": [""]}, {"runs": ["beta"]})
        marks["status"][""] = "2"
        assert await _next(alpha) == {"status": [""]}, "nothing of beta, nor of the platform's alerts"
        await admin.aclose()
        await alpha.aclose()
        assert streams.open == 0

    asyncio.run(go())


def test_it_ends_with_its_session_its_time_and_the_gateway() -> None:
    async def go() -> None:
        streams = Streams(dict, look_s=0.02, ping_s=0.01)
        ended = [event async for event in streams.stream(ADMIN, longest_s=0.05)]
        assert ended[0] == b"retry: 1000\n\n"
        assert b": ping\n\n" in ended
        for end in (lambda: streams.end("mine"), streams.close):
            stream = streams.stream(ADMIN, session="mine")
            await anext(stream)
            streams.end("another's")
            end()
            async with asyncio.timeout(10):
                assert [event async for event in stream if event != b": ping\n\n"] == []
        assert streams.open == 0

    asyncio.run(go())


def test_a_source_that_hangs_is_told_and_that_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    gate = threading.Event()

    async def go() -> None:
        streams = Streams(lambda: gate.wait(10) and {}, look_s=0.02)
        stream = streams.stream(ALPHA)
        assert set(await _next(stream)) == set(module.TOPICS)
        gate.set()
        assert set(await _next(stream)) == set(module.TOPICS)
        await stream.aclose()

    asyncio.run(go())


def test_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 0)
    with pytest.raises(ServiceUnavailable, match="streams are open"):
        Streams(dict).check_room()


def test_changes_are_what_differs_whatever_came_or_went() -> None:
    before = {"runs": {"a": "1", "b": "1"}, "drift": {"a": "1"}}
    assert changes(before, before) == {}
    assert changes(before, {"runs": {"a": "2", "b": "1", "c": "1"}}) == {"runs": ["a", "c"], "drift": ["a"]}
