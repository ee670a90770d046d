"""Streams of server-sent events that say what changed, fed by one look a second however many listen.

An event names topics, and for each the projects of which something changed ("" is the platform). Nothing is
looked at while nobody listens.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from mlops.errors import ServiceUnavailable
from mlops.store.changes import Marks
from mlops.store.tokens import Principal

log = logging.getLogger(__name__)

LOOK_S = 1.0
PATIENCE_S = 3.0
"""How long a look may take before those who listen are told that something is away."""
PING_S = 20.0
LONGEST_S = 300.0
"""A stream's life: whoever listens comes again, and is asked again who he is."""
MOST = 256
"""Streams at a time."""
TOPICS = ("alerts", "data", "deployments", "drift", "models", "runs", "silences", "status")
PUBLIC = "status"
"""The topic that is the platform's and everybody's; what else is the platform's is its administrators'."""

Changed = dict[str, list[str]]


@dataclass(eq=False, slots=True)
class _Listener:
    principal: Principal
    session: str
    changed: dict[str, set[str]] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def tell(self, changed: Changed) -> None:
        for topic, projects in changed.items():
            seen = [name for name in projects if self._may_see(topic, name)]
            if seen:
                self.changed.setdefault(topic, set()).update(seen)
                self.woken.set()

    def end(self) -> None:
        self.ended = True
        self.woken.set()

    def take(self) -> Changed:
        self.woken.clear()
        taken, self.changed = self.changed, {}
        return {topic: sorted(projects) for topic, projects in sorted(taken.items())}

    def _may_see(self, topic: str, project: str) -> bool:
        if project == "":
            return topic == PUBLIC or self.principal.project is None
        return self.principal.may_use(project)


class Streams:
    """The streams of one gateway, on one event loop."""

    def __init__(self, look: Callable[[], Marks], look_s: float = LOOK_S, ping_s: float = PING_S) -> None:
        """`look` gives the marks of now; it blocks, and is called in a thread."""
        self._look, self._look_s, self._ping_s = look, look_s, ping_s
        self._listeners: set[_Listener] = set()
        self._watching: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def check_room(self) -> None:
        """Raises `ServiceUnavailable` where there are too many."""
        if len(self._listeners) >= MOST:
            raise ServiceUnavailable(
                "the gateway", f"{MOST} streams are open", remedy="Close some pages of the dashboard."
            )

    async def stream(
        self, principal: Principal, *, session: str = "", longest_s: float = LONGEST_S
    ) -> AsyncIterator[bytes]:
        """What changes from now on that `principal` may see, as server-sent events with a ping in between; it
        ends with its session, and after `longest_s`."""
        listener = _Listener(principal, session)
        self._listeners.add(listener)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="changes")
        loop = asyncio.get_running_loop()
        until = loop.time() + min(longest_s, LONGEST_S)
        try:
            yield b"retry: 1000\n\n"
            while not listener.ended and (left := until - loop.time()) > 0:
                try:
                    await asyncio.wait_for(listener.woken.wait(), min(self._ping_s, left))
                except TimeoutError:
                    yield b": ping\n\n"
                    continue
                if changed := listener.take():
                    yield f"event: change\ndata: {json.dumps(changed)}\n\n".encode()
        finally:
            self._listeners.discard(listener)

    def end(self, session: str) -> None:
        """End the streams of a session."""
        for listener in self._listeners:
            if listener.session == session:
                listener.end()

    def close(self) -> None:
        """End all."""
        for listener in self._listeners:
            listener.end()

    async def _watch(self) -> None:
        known: Marks | None = None
        while self._listeners:
            found = await self._marks()
            if known is not None and (changed := changes(known, found)):
                for listener in list(self._listeners):
                    listener.tell(changed)
            known = found
            await asyncio.sleep(self._look_s)

    async def _marks(self) -> Marks:
        """Those of now; of what does not answer in time none, so that pages read it and show that."""
        looking = asyncio.get_running_loop().run_in_executor(None, self._look)
        done, _ = await asyncio.wait([looking], timeout=PATIENCE_S)
        if done:
            return _result(looking)
        self._tell_all()
        await asyncio.wait([looking])  # nobody looks again meanwhile
        self._tell_all()
        return _result(looking)

    def _tell_all(self) -> None:
        for listener in list(self._listeners):
            listener.tell({topic: [listener.principal.project or ""] for topic in TOPICS})


def _result(looking: asyncio.Future[Marks]) -> Marks:
    try:
        return looking.result()
    except Exception:
        log.exception("changes cannot be looked for")
        return {}


def changes(before: Marks, now: Marks) -> Changed:
    """Topics with the projects whose marks differ. Of a topic that came or went as a whole every project that
    either has."""
    found: Changed = {}
    for topic in before.keys() | now.keys():
        old, new = before.get(topic, {}), now.get(topic, {})
        differing = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
        if differing:
            found[topic] = sorted(differing)
    return found
