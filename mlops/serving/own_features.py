"""Features by a function of the project's own: bounded in time, and never in the answer's way."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from queue import SimpleQueue

from mlops import features

LIMIT_S = 0.25
"""The longest that an answer waits for its features."""
PAUSE_S = 60.0
"""A function that was late is left alone so long; warnings come no more often."""

_log = logging.getLogger(__name__)


class OwnFeatures:
    """Makes features by the function, in a thread of its own; the usual ones when it raises, is late, or
    returns what features are not. Thread-safe."""

    def __init__(
        self, function: features.Function, limit_s: float = LIMIT_S, pause_s: float = PAUSE_S
    ) -> None:
        self._make = features.by(function)
        self._limit, self._pause = limit_s, pause_s
        self._asked: SimpleQueue[tuple[Future[features.Sides], features.Arrays, features.Arrays]] = (
            SimpleQueue()
        )
        self._late: Future[features.Sides] | None = None
        self._not_before = self._silent_until = 0.0
        threading.Thread(target=self._work, name="own-features", daemon=True).start()

    def __call__(self, inputs: features.Arrays, outputs: features.Arrays) -> features.Sides:
        """The features of these rows."""
        is_stuck = self._late is not None and not self._late.done()
        if not is_stuck and time.monotonic() >= self._not_before:
            answer: Future[features.Sides] = Future()
            self._asked.put((answer, inputs, outputs))
            try:
                return answer.result(self._limit)
            except Exception as error:  # noqa: BLE001 - it is the project's code
                self._failed(answer, error)
        return features.usual(inputs, outputs)

    def _failed(self, answer: Future[features.Sides], error: Exception) -> None:
        now = time.monotonic()
        why = repr(error)
        if not answer.done():
            self._late, self._not_before = answer, now + self._pause
            why = f"it takes longer than {self._limit:g} s"
        if now >= self._silent_until:
            self._silent_until = now + self._pause
            _log.warning("the project's features were not made, the usual are logged: %s", why)

    def _work(self) -> None:
        while True:
            answer, inputs, outputs = self._asked.get()
            try:
                answer.set_result(self._make(inputs, outputs))
            except BaseException as error:  # noqa: BLE001 - an exit of the function's ends no thread
                answer.set_exception(RuntimeError(repr(error)))
