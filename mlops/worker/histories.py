"""Least and greatest values of metrics, and how many there are, from MLflow's API: of a run it tells the last
values alone, and the others metric by metric."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import islice

from mlops.store.store import Store
from mlops.store.uncounted import Counted
from mlops.tracking.rest import ServerRefusal
from mlops.worker.mlflow_api import NAMED, MLflowApi

log = logging.getLogger(__name__)

_MOST = 5000
"""Metrics of a project's runs that a round looks at."""


class Histories:
    """Reads what is still to be counted: of a project the newest runs first, a hundred of them at a time, a
    metric each time. What runs have that go on is counted now and then, and with their end."""

    def __init__(self, store: Store, recount_s: float) -> None:
        self._store = store
        self._recount_s = recount_s
        self._not_before: dict[str, float] = {}  # runs that go on
        self._last = ""

    def read(self, apis: Mapping[str, MLflowApi], seconds: float, check: Callable[[], None]) -> None:
        """Count for so long, the projects in turn; `check` may end it by an exception. Raises what
        `MLflowApi` does."""
        began = time.monotonic()
        self._not_before = {id: due for id, due in self._not_before.items() if due > began}
        for project in sorted(apis, key=lambda name: (name <= self._last, name)):
            for key, runs in self._waiting(project).items():
                while runs:
                    check()
                    if time.monotonic() - began > seconds:
                        return
                    self._last = project
                    for id in self._count(apis[project], key, dict(islice(runs.items(), NAMED))):
                        del runs[id]

    def _waiting(self, project: str) -> dict[str, dict[str, bool]]:
        """By metric the runs, and whether they are over; the metrics of the newest run first."""
        found: dict[str, dict[str, bool]] = defaultdict(dict)
        for each in self._store.uncounted.find(project, _MOST, self._not_before):
            found[each.key][each.run_id] = each.is_over
        return found

    def _count(self, api: MLflowApi, key: str, runs: Mapping[str, bool]) -> list[str]:
        """Those of the runs that are done with: one at least."""
        try:
            found = api.count(key, list(runs))
            if not found:  # the first of them has more values than an answer
                first = min(runs)
                if not runs[first]:
                    self._not_before[first] = math.inf  # until it has ended
                    return [first]
                found = [api.count_long(key, first)]
        except ServerRefusal as refusal:
            log.warning("values of metric %r are not read: %s", key, refusal.message)
            found = [Counted(id) for id in runs]
        self._store.uncounted.put(key, found)
        later = time.monotonic() + self._recount_s
        self._not_before |= {each.run_id: later for each in found if not runs[each.run_id]}
        return [each.run_id for each in found]
