"""Parts of pages: fresh, stale with a reason, and never waited for for long."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mlops.dashboard.parts import Parts
from mlops.errors import InvalidInput, ProjectNotFound, ServiceUnavailable


def _away() -> None:
    raise ServiceUnavailable("postgres", "connection refused")


def test_what_was_known_stays_with_the_reason_and_its_age() -> None:
    async def go() -> None:
        parts = Parts()
        fresh = await parts.read("a", lambda: (1, 2))
        assert (fresh.value, fresh.problem, fresh.away_since) == ((1, 2), "", None)
        stale = await parts.read("a", _away)
        assert stale.value == (1, 2)
        assert stale.read_at == fresh.read_at
        assert "postgres does not answer" in stale.problem
        later = await parts.read("a", _away)
        assert later.away_since == stale.away_since, "since it was first so"
        assert later.version == stale.version
        back = await parts.read("a", lambda: (3,))
        assert (back.value, back.problem, back.away_since) == ((3,), "", None)
        other = await parts.read("b", _away)
        assert (other.value, other.read_at) == (None, None)

    asyncio.run(go())


def test_a_slow_source_is_not_waited_for_nor_asked_twice() -> None:
    async def go() -> None:
        parts, gate, asked = Parts(patience_s=0.05), threading.Event(), []

        def slow() -> str:
            asked.append(1)
            gate.wait(10)
            return "late"

        await parts.read("a", lambda: "known")
        for _ in range(3):
            part = await parts.read("a", slow)
            assert (part.value, part.problem) == ("known", "its source is slow to answer")
        assert asked == [1]
        gate.set()
        for _ in range(200):
            await asyncio.sleep(0.01)
            if not parts._asking:
                break
        part = await parts.read("a", _away)
        assert part.value == "late", "what came late is known from then on"

    asyncio.run(go())


@pytest.mark.parametrize("error", [ProjectNotFound("x"), InvalidInput("level", "x", "is no level")])
def test_a_wrong_question_is_the_askers(error: Exception) -> None:
    def ask() -> None:
        raise error

    with pytest.raises(type(error)):
        asyncio.run(Parts().read("a", ask))


def test_an_unreadable_file_is_a_reason() -> None:
    def unreadable() -> None:
        raise OSError("status.json: permission denied")

    part = asyncio.run(Parts().read("a", unreadable))
    assert part.problem == "status.json: permission denied"


def test_versions_change_with_content_and_not_with_time() -> None:
    async def go() -> list[str]:
        parts = Parts()
        return [(await parts.read("a", lambda value=value: value)).version for value in (1, 1, 2)]

    first, second, third = asyncio.run(go())
    assert first == second != third
