"""Work that several ask for at once."""

from __future__ import annotations

import asyncio

import pytest

from mlops.dashboard.single_flight import SingleFlight


def test_who_asks_meanwhile_gets_the_same_and_who_asks_later_another() -> None:
    async def asked() -> tuple[list[int], int]:
        flights: SingleFlight[int] = SingleFlight()
        begun: list[int] = []

        async def work() -> int:
            begun.append(1)
            await asyncio.sleep(0.01)
            return len(begun)

        together = await asyncio.gather(*(flights.join("a", work) for _ in range(5)), flights.join("b", work))
        return together, await flights.join("a", work)

    together, later = asyncio.run(asked())
    assert together[:5] == [together[0]] * 5
    assert later == 3, "one of a, one of b, and this"


def test_an_error_is_everybodys_and_is_not_kept() -> None:
    async def asked() -> list[object]:
        flights: SingleFlight[int] = SingleFlight()
        tries: list[int] = []

        async def work() -> int:
            tries.append(1)
            await asyncio.sleep(0)
            if len(tries) == 1:
                raise ValueError("first")
            return 2

        first = await asyncio.gather(*(flights.join("a", work) for _ in range(2)), return_exceptions=True)
        return [*first, await flights.join("a", work)]

    one, other, again = asyncio.run(asked())
    assert one is other
    assert isinstance(one, ValueError)
    assert again == 2


def test_one_who_leaves_takes_it_from_nobody() -> None:
    async def asked() -> int:
        flights: SingleFlight[int] = SingleFlight()

        async def work() -> int:
            await asyncio.sleep(0.02)
            return 7

        async def wait() -> None:
            await asyncio.wait([flights.join("a", work)])

        leaving = asyncio.create_task(wait())
        staying = flights.join("a", work)
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert asyncio.run(asked()) == 7
