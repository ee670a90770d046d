"""Sources of figures: one look for many, and no scrape that waits for long."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mlops.gateway.sources import Source


def test_many_who_ask_cost_one_look() -> None:
    looks: list[int] = []

    async def scenario() -> list[int | None]:
        source = Source("numbers", lambda: looks.append(1) or len(looks), fresh_s=60.0)
        together = await asyncio.gather(*(source.read() for _ in range(10)))
        return [*together, await source.read()]

    assert asyncio.run(scenario()) == [1] * 11


def test_it_is_asked_again_once_its_answer_is_old() -> None:
    looks: list[int] = []

    async def scenario() -> list[int | None]:
        source = Source("numbers", lambda: looks.append(1) or len(looks), fresh_s=0.0)
        return [await source.read(), await source.read()]

    assert asyncio.run(scenario()) == [1, 2]


def test_one_who_asks_as_an_answer_comes_does_not_take_it_from_who_waits() -> None:
    later: list[asyncio.Task[int | None]] = []

    class Met(Source[int]):
        async def _look(self) -> int | None:
            found = await super()._look()
            if not later:
                later.append(asyncio.create_task(self.read()))  # before who waits is told
            return found

    looks: list[int] = []

    async def scenario() -> list[int | None]:
        source = Met("numbers", lambda: looks.append(1) or len(looks), fresh_s=0.0)
        return [await source.read(), await later[0]]

    assert asyncio.run(scenario()) == [1, 2]


def test_what_fails_is_missing_is_told_once_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[int | None] = [None, None, 7]

    def ask() -> int:
        found = answers.pop(0)
        if found is None:
            raise OSError("no such file\nand more")
        return found

    async def scenario() -> list[int | None]:
        source = Source("numbers", ask, fresh_s=0.0)
        return [await source.read() for _ in range(3)]

    assert asyncio.run(scenario()) == [None, None, 7]
    assert caplog.messages == ["the figures of numbers are missing: no such file"]


def test_one_that_hangs_is_not_waited_for_nor_asked_twice() -> None:
    looks: list[int] = []
    free = threading.Event()

    def ask() -> int:
        looks.append(1)
        free.wait(60)
        return 7

    async def scenario() -> None:
        source = Source("numbers", ask, fresh_s=60.0, patience_s=0.05)
        assert [await source.read(), await source.read()] == [None, None]
        assert len(looks) == 1
        free.set()
        while await source.read() is None:
            pass
        assert len(looks) == 1

    asyncio.run(scenario())
