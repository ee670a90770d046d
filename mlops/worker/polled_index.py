"""Keeps the index of runs and of model versions like an MLflow elsewhere, by its API.

The API has no "changed since". A round of a project reads the runs that go on, those that did and do no more,
and the newest as far as they are not known; all model versions; and some values of metrics. What it does not
see, late tags of older runs and their removal, is found by a sweep now and then, which reads all runs.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from mlops.entities import ProjectWorkspace
from mlops.errors import MLOpsError, ServiceUnavailable, Unauthorized
from mlops.store.indexed_runs import IndexedRun, MetricSummary, greatest, least
from mlops.store.store import Store
from mlops.tracking.rest import Rest, ServerRefusal
from mlops.worker.histories import Histories
from mlops.worker.mlflow_api import NAMED, MLflowApi

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""Between two rounds, or `_SHARE` times what the last one took: MLflow is others' as well."""
_SHARE = 4
LONGEST_PAUSE_S = 60.0
SWEEP_S = 600.0
_SWEEP_SHARE = 100
"""A project's sweep is followed by as many times its own time at least."""
NEWEST, RUNNING, ALL = 50, 200, 500
"""Runs on a page of each question."""
_MOST_PAGES = 5
"""Of runs that go on, and of new ones, in a round: the rest waits for the sweep."""
_LEAST_COUNT_S, _MOST_COUNT_S = 2.0, 20.0
"""For which values are counted in a round; between these for as long as the rest of it took."""
_MOST_FAILURES = 3
"""Projects one after the other that MLflow does not answer for; the others are then not tried."""


class _Halted(Exception):
    """Nobody waits for this round any more."""


class PolledIndex:
    """One writer of the index of `store`, over the MLflow at `url`."""

    def __init__(
        self,
        store: Store,
        url: str,
        rest_of: Callable[[ProjectWorkspace], Rest],
        *,
        recount_s: float = 60.0,
    ) -> None:
        """`rest_of` calls MLflow as the account of a project. Values of runs that go on are counted at most
        every `recount_s` seconds."""
        self._store = store
        self._url = url
        self._rest_of = rest_of
        self._histories = Histories(store, recount_s)
        self._sweep_due: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._failures = 0
        self._took_s = 0.0
        self._halted = threading.Event()

    @property
    def pause_s(self) -> float:
        """See `Index.pause_s`; longer each time that no project could be read."""
        calm = max(EVERY_S, _SHARE * self._took_s) * 2.0 ** min(self._failures, 10)
        return min(calm, LONGEST_PAUSE_S)

    def halt(self) -> None:
        """See `Index.halt`."""
        self._halted.set()

    def update(self) -> int:
        """See `Index.update`. A project that cannot be read is told, and tried again by the next round; where
        none can, that is raised."""
        began = time.monotonic()
        try:
            return self._update()
        except _Halted:
            return 0
        finally:
            self._took_s = time.monotonic() - began

    def _update(self) -> int:
        at, began = datetime.now(UTC), time.monotonic()
        workspaces = self._store.projects.all()
        progress = self._store.run_index.progress()
        is_new = progress.source != self._url or progress.rebuild_asked_at is not None
        to_sweep = self._to_sweep(workspaces)
        apis: dict[str, MLflowApi] = {}
        changed, away = 0, list[ServiceUnavailable]()
        for workspace in workspaces:
            name = workspace.project_name
            is_whole = is_new or progress.projects.get(name) != workspace.namespace
            try:
                if len(away) >= _MOST_FAILURES:
                    raise away[-1]
                api = MLflowApi(self._rest_of(workspace), name)
                changed += self._read(api, workspace, is_whole=is_whole, is_swept=name == to_sweep)
            except (MLOpsError, ServerRefusal) as error:
                if _is_ours(error):
                    raise
                self._tell(name, _why(error), is_whole=is_whole)
                away = [*away, error] if isinstance(error, ServiceUnavailable) else []
            except (LookupError, TypeError, ValueError) as error:
                self._tell(name, f"what MLflow tells is not understood: {error!r}", is_whole=is_whole)
                away = []
            else:
                apis[name], away = api, []
                self._problems.pop(name, None)
        self._failures = self._failures + 1 if workspaces and not apis else 0
        if away and not apis:
            raise away[-1]
        self._store.run_index.finish(
            replace(progress, source=self._url, horizon=None, projects={}, indexed_at=at)
        )
        if is_new:
            self._store.run_index.tidy()
        seconds = min(max(_LEAST_COUNT_S, time.monotonic() - began), _MOST_COUNT_S)
        self._histories.read(apis, seconds, self._check)
        return changed

    def _to_sweep(self, workspaces: Sequence[ProjectWorkspace]) -> str | None:
        """The project whose sweep has been due for the longest, if any: one in a round."""
        due = {each.project_name: self._sweep_due.get(each.project_name, 0.0) for each in workspaces}
        first = min(due, key=lambda name: due[name], default=None)
        return first if first is not None and due[first] <= time.monotonic() else None

    def _read(self, api: MLflowApi, workspace: ProjectWorkspace, *, is_whole: bool, is_swept: bool) -> int:
        project, at = workspace.project_name, datetime.now(UTC)
        experiments = api.experiments()
        if is_whole or is_swept:
            changed = self._sweep(api, project, experiments, is_new=is_whole)
        else:
            changed = self._read_changes(api, project, experiments)
        changed += self._store.model_versions.put(api.versions(), project)
        self._store.freshness.read(project, workspace.namespace, at)
        return changed

    def _read_changes(self, api: MLflowApi, project: str, experiments: Mapping[str, str]) -> int:
        went_on = self._store.run_index.ids_of(project, going_on=True)
        changed, seen = 0, set[str]()
        running = api.runs(experiments, RUNNING, "attributes.status = 'RUNNING'")
        for page in islice(running, _MOST_PAGES):
            changed += self._put(page)
            seen |= {run.id for run in page}
        if len(seen) < _MOST_PAGES * RUNNING:  # else there are more of them
            changed += self._ask(api, experiments, went_on - seen)
        for page in islice(api.runs(experiments, NEWEST), _MOST_PAGES):
            others = [run for run in page if run.id not in seen]
            is_known = bool(self._store.runs.indexed([run.id for run in others]))
            changed += self._put(others)
            seen |= {run.id for run in page}
            if is_known:
                # Those between them that are not there may be deleted.
                newer = self._store.run_index.ids_of(project, after=page[-1].started_at)
                changed += self._ask(api, experiments, newer - seen)
                break
        return changed

    def _sweep(self, api: MLflowApi, project: str, experiments: Mapping[str, str], *, is_new: bool) -> int:
        began = time.monotonic()
        changed, seen = 0, set[str]()
        for page in api.runs(experiments, ALL):
            changed += self._put(page, is_new=is_new)
            seen |= {run.id for run in page}
        # Pages shift while they are read: what was not on any may be there all the same.
        changed += self._ask(api, experiments, self._store.run_index.ids_of(project) - seen)
        changed += self._store.run_index.forget_names()
        ended = time.monotonic()
        self._sweep_due[project] = ended + max(SWEEP_S, _SWEEP_SHARE * (ended - began))
        return changed

    def _ask(self, api: MLflowApi, experiments: Mapping[str, str], ids: Iterable[str]) -> int:
        """Bring these runs up to date one by one, and forget those that are gone."""
        changed, wanted = 0, sorted(ids)
        for begin in range(0, len(wanted), NAMED):
            named = wanted[begin : begin + NAMED]
            found = api.named(experiments, named)
            changed += self._put(found)
            changed += self._store.run_index.forget(list(set(named) - {run.id for run in found}))
        return changed

    def _put(self, found: Sequence[IndexedRun], *, is_new: bool = False) -> int:
        self._check()
        known = {} if is_new else {run.id: run for run in self._store.runs.indexed([run.id for run in found])}
        return self._store.run_index.put([_with_known(run, known.get(run.id)) for run in found])

    def _check(self) -> None:
        if self._halted.is_set():
            raise _Halted

    def _tell(self, project: str, problem: str, *, is_whole: bool) -> None:
        self._store.freshness.failed(project, problem, is_whole=is_whole)
        if self._problems.get(project) != problem:
            self._problems[project] = problem
            log.warning("the runs of project %s are not read from MLflow: %s", project, problem)


def _why(error: MLOpsError | ServerRefusal) -> str:
    if isinstance(error, Unauthorized):
        return "MLflow does not take the project's account or its password"
    return f"MLflow refuses: {error.message}" if isinstance(error, ServerRefusal) else error.message


def _is_ours(error: MLOpsError | ServerRefusal) -> bool:
    """Whether it is the platform's own database that does not answer."""
    return isinstance(error, ServiceUnavailable) and error.fields.get("service") == "postgres"


def _with_known(run: IndexedRun, known: IndexedRun | None) -> IndexedRun:
    """With what is known of its metrics, as far as nothing was logged since; all is to be counted again when
    it has ended: what came late may lie before what came last."""
    if known is None:
        return run
    has_ended = run.is_over and not known.is_over
    metrics = {key: _of_known(each, known.metrics.get(key), has_ended) for key, each in run.metrics.items()}
    return replace(run, metrics=metrics)


def _of_known(found: MetricSummary, known: MetricSummary | None, has_ended: bool) -> MetricSummary:
    if known is None:
        return found
    is_same = (found.step, found.time_ms) == (known.step, known.time_ms) and (
        found.last == known.last or (math.isnan(found.last) and math.isnan(known.last))
    )
    points = known.points if is_same and not has_ended else 0
    low, high = least(found.min, known.min), greatest(found.max, known.max)
    return replace(found, min=low, max=high, points=points)
