"""The state of things, gathered for the rules of alerts."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeVar

from mlops.entities import Deployment, DriftJob, Run
from mlops.installation import Installation
from mlops.monitoring.performance_desk import PerformanceDesk
from mlops.monitoring.readings import Facts
from mlops.services.status import read_status
from mlops.store.store import Store
from mlops.store.traffic import Traffic
from mlops.tracking import pending
from mlops.worker.performance import PerformanceReadings

_SLOW_S = 30.0
"""Between two looks at what costs more, or changes slowly: journals and thermal state."""
_DAY = timedelta(days=1)  # the longest window of a rule
_Owned = TypeVar("_Owned", Deployment, DriftJob, Run)


class FactFinder:
    """Looks at everything once a round; what is slow to read it remembers for a while."""

    def __init__(
        self, installation: Installation, store: Store, is_too_hot: Callable[[], bool | None]
    ) -> None:
        self._installation = installation
        self._store = store
        self._is_too_hot = is_too_hot
        self._performance = PerformanceReadings(PerformanceDesk(store))
        self._slow_due = 0.0
        self._undelivered: dict[str, int] = {}
        self._hot: bool | None = None

    def find(self) -> Facts:
        """As it is now; raises `ServiceUnavailable`."""
        now = datetime.now(UTC)
        self._look_at_what_is_slow()
        self._performance.refresh()

        @cache
        def traffic(seconds: float) -> dict[int, Traffic]:
            return self._store.traffic.since(now - timedelta(seconds=seconds))

        @cache
        def restarts(seconds: float) -> dict[str, int]:
            here = self._installation.identity()
            return self._store.probes.restarts_since(here, now - timedelta(seconds=seconds))

        return Facts(
            now,
            deployments=_by_project(self._store.deployments.all()),
            traffic=traffic,
            drift=_by_project(self._store.drift.newest()),
            services=read_status(self._installation),
            runs=_by_project(self._store.runs.going_on_or_failed(now - _DAY)),
            disk_free=_free_share(self._installation),
            is_too_hot=self._hot,
            undelivered=self._undelivered,
            restarts=restarts,
            performance=self._performance.read,
        )

    def _look_at_what_is_slow(self) -> None:
        if time.monotonic() < self._slow_due:
            return
        self._slow_due = time.monotonic() + _SLOW_S
        self._hot = self._is_too_hot()
        journals = self._installation.journal_dir
        counts = {
            name: sum(pending.waits(folder) for folder in pending.folders(journals / name))
            for name in pending.projects(journals)
        }
        self._undelivered = {name: count for name, count in counts.items() if count}


def _by_project(found: Iterable[_Owned]) -> dict[str, list[_Owned]]:
    sorted_out = defaultdict[str, list[_Owned]](list)
    for each in found:
        sorted_out[each.project].append(each)
    return sorted_out


def _free_share(installation: Installation) -> float | None:
    try:
        disk = shutil.disk_usage(installation.root)
    except OSError:
        return None
    return disk.free / disk.total
