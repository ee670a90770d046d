"""How right the models are, for the rules of alerts: looked at now and then, within a bounded time."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from mlops.entities import Performance
from mlops.errors import InvalidInput
from mlops.monitoring.performance_desk import PerformanceDesk
from mlops.store.labelled import Effort

log = logging.getLogger(__name__)

EVERY_S = 30.0
"""Between two looks at the same."""
EFFORT = Effort(most=20_000, patience_s=2.0)
"""Of each of a look's two questions: meanwhile no rule is judged."""

Wanted = tuple[str, str, float]
"""Project, model and window in s."""


class PerformanceReadings:
    """Remembers what rules ask for. One of it is looked at in each round, the one that was not for
    longest."""

    def __init__(self, desk: PerformanceDesk) -> None:
        self._desk = desk
        self._known: dict[Wanted, Sequence[Performance] | None] = {}
        self._looked: dict[Wanted, float] = {}
        self._asked: set[Wanted] = set()

    def read(self, project: str, model: str, window_s: float) -> Sequence[Performance] | None:
        """What was found last; None before the first look."""
        wanted = (project, model, window_s)
        self._asked.add(wanted)
        return self._known.get(wanted)

    def refresh(self) -> None:
        """Look at one that was asked for since the last round, if any is due. Raises `ServiceUnavailable`."""
        asked, self._asked = self._asked, set()
        self._looked = {each: self._looked.get(each, -EVERY_S) for each in asked}
        self._known = {each: self._known.get(each) for each in asked}
        due = min(asked, key=self._looked.__getitem__, default=None)
        now = time.monotonic()
        if due is None or now - self._looked[due] < EVERY_S:
            return
        self._looked[due] = now
        project, model, window_s = due
        try:
            self._known[due] = self._desk.rows(project, model, window_s, EFFORT)
        except InvalidInput as error:
            log.warning("the performance of %s/%s is not known: %s", project, model, error.message)
