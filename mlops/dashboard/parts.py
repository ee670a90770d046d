"""Parts of pages, each read by itself: where its source is away, slow or broken, the last known values are
shown with the reason and their age, and nothing else suffers."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from mlops.dashboard.single_flight import SingleFlight
from mlops.errors import InvalidInput, InvalidName, MLOpsError, NotFound
from mlops.store.freshness import Freshness

PATIENCE_S = 1.0
"""How long a page waits for a part before it shows what it has."""
_MOST = 256
_THREADS = 8
_REMEDY = "Run `efficientai-toolkit mlops:status`."


@dataclass(frozen=True, slots=True)
class Part:
    """What a source told; the last known values when it does not answer."""

    value: Any = None
    """None when nothing was ever read."""
    read_at: datetime | None = None
    problem: str = ""
    """Why it is not of now; empty when it is."""
    remedy: str = ""
    away_since: datetime | None = None
    """When that was first found."""
    index: Freshness | None = None
    """As of when the index was that the value is from; None where that was just now, or it is from none."""

    @property
    def version(self) -> str:
        """Changes with what is shown, not with the time."""
        shown = (self.value, self.problem, self.away_since, self.index)
        return hashlib.sha256(repr(shown).encode("utf-8", "replace")).hexdigest()[:16]


class Parts:
    """Reads parts in threads of its own, by one at a time each: while an answer is late, nobody asks again.
    Used from one event loop."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._known: OrderedDict[Hashable, Part] = OrderedDict()
        self._asking: SingleFlight[Part] = SingleFlight()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dashboard")

    async def read(self, key: Hashable, source: Callable[[], Any]) -> Part:
        """What `source` tells now; a part of its own where it knows that its values are old. It may raise
        `MLOpsError` or `OSError`, and be slow: then the part has the last values of that key. `NotFound`,
        `InvalidInput` and `InvalidName` are the asker's affair, and raised."""
        asking = self._asking.join(key, lambda: self._ask(key, source))
        done, _ = await asyncio.wait([asking], timeout=self._patience_s)
        return asking.result() if done else self._away(key, "its source is slow to answer", _REMEDY)

    async def _ask(self, key: Hashable, source: Callable[[], Any]) -> Part:
        try:
            value = await asyncio.get_running_loop().run_in_executor(self._threads, source)
        except (NotFound, InvalidInput, InvalidName):
            raise
        except MLOpsError as error:
            return self._away(key, error.message, error.remedy)
        except (OSError, ValueError) as error:  # a file that is missing or half written
            return self._away(key, str(error) or type(error).__name__, _REMEDY)
        return self._keep(key, value if isinstance(value, Part) else Part(value, datetime.now(UTC)))

    def _away(self, key: Hashable, problem: str, remedy: str) -> Part:
        last = self._known.get(key, Part())
        since = last.away_since or datetime.now(UTC)
        return self._keep(key, replace(last, problem=problem, remedy=remedy, away_since=since))

    def _keep(self, key: Hashable, part: Part) -> Part:
        self._known[key] = part
        self._known.move_to_end(key)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return part
