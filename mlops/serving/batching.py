"""Several requests answered by one call of the model.

Written by hand: what Ray Serve and BentoML have for this lives on the event loop, waits a set time for a
batch to fill, and costs a request that is alone two hops between threads. Here nobody waits but for the model
itself: what came while it worked is its next call.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ran:
    """What one request got of the model."""

    outputs: dict[str, Array]
    seconds: float
    """Of the call that answered it."""
    waited: float = 0.0
    """Seconds until that call began."""
    together: int = 1
    """Requests that the call answered."""


def alone(run: Run) -> Callable[[Mapping[str, Array]], Ran]:
    """Each request by a call of its own."""

    def answer(arrays: Mapping[str, Array]) -> Ran:
        began = time.perf_counter()
        outputs = run(arrays)
        return Ran(outputs, time.perf_counter() - began)

    return answer


@dataclass(slots=True, eq=False)
class _Waiting:
    arrays: Mapping[str, Array]
    since: float = field(default_factory=time.perf_counter)
    ran: Ran | None = None
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.ran is not None or self.error is not None

    @property
    def rows(self) -> int:
        """Along the first axis; 0 where the arrays do not have one in common."""
        lengths = {array.shape[0] if array.ndim else 0 for array in self.arrays.values()}
        return lengths.pop() if len(lengths) == 1 else 0

    @property
    def kind(self) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
        """Equal where two requests can be joined."""
        return tuple((name, str(a.dtype.kind), a.shape[1:]) for name, a in sorted(self.arrays.items()))


class Batcher:
    """One call of the model at a time, for at most `max_rows` rows of the requests that wait. May be called
    from as many threads as there shall be requests in a batch.

    A call that fails, or that does not answer with a row for each, is done again for each request alone, so
    that none suffers from another."""

    def __init__(self, run: Run, max_rows: int) -> None:
        self._run = run
        self._max_rows = max_rows
        self._waiting: list[_Waiting] = []
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def __call__(self, arrays: Mapping[str, Array]) -> Ran:
        """What the model makes of the arrays, whoever called it; raises what the model does."""
        mine = _Waiting(arrays)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.is_done:
                self._answer(self._batch_with(mine))
        if mine.error is not None:
            raise mine.error
        assert mine.ran is not None  # noqa: S101
        return mine.ran

    def _batch_with(self, first: _Waiting) -> list[_Waiting]:
        """It, and those that came before or after it and can be joined with it."""
        with self._lock:
            batch, rows = [first], first.rows
            for other in self._waiting:
                fits = 0 < other.rows <= self._max_rows - rows and other.kind == first.kind
                if rows and fits and other is not first:
                    batch.append(other)
                    rows += other.rows
            self._waiting = [each for each in self._waiting if each not in batch]
        return batch

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        if len(batch) > 1 and self._answer_together(batch):
            return
        for each in batch:
            waited = time.perf_counter() - each.since
            try:
                outputs, seconds = self._timed(each.arrays)
                each.ran = Ran(outputs, seconds, waited)
            except Exception as error:  # noqa: BLE001 - handed to who asked
                each.error = error

    def _answer_together(self, batch: Sequence[_Waiting]) -> bool:
        waited = [time.perf_counter() - each.since for each in batch]
        joined = {name: np.concatenate([each.arrays[name] for each in batch]) for name in batch[0].arrays}
        ends = np.cumsum([each.rows for each in batch])
        try:
            outputs, seconds = self._timed(joined)
        except Exception as error:  # noqa: BLE001 - each is asked alone then
            _log.info("a batch of %s requests failed: %r", len(batch), error)
            return False
        if not all(array.ndim and len(array) == ends[-1] for array in outputs.values()):
            _log.warning("the model does not answer row by row; see `serving.batch` in project.toml")
            return False
        parts = {name: np.split(array, ends[:-1]) for name, array in outputs.items()}
        for number, each in enumerate(batch):
            own = {name: arrays[number] for name, arrays in parts.items()}
            each.ran = Ran(own, seconds, waited[number], len(batch))
        return True

    def _timed(self, arrays: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
        began = time.perf_counter()
        outputs = self._run(arrays)
        return outputs, time.perf_counter() - began
