"""Keeps the index of runs and of model versions like MLflow's own database, by SQL: its API takes a call for
each project and page.

A round reads what was written since the last one's snapshot. What leaves no trace there, runs that are purged
and tags that are removed, is found by a sweep now and then, which compares all ids.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from mlops.store.indexed_runs import IndexedRun
from mlops.store.run_index import Progress
from mlops.store.sparks import Spark, width_of
from mlops.store.store import Store
from mlops.worker.mlflow_tables import Known, MLflowTables, Position, Snapshot

EVERY_S = 0.4
"""Between two rounds, or `_SHARE` times what the last one took: however many runs there are, the processor is
not theirs."""
_SHARE = 4
LONGEST_PAUSE_S = 10.0
BATCH = 250
"""Runs that are read and written at a time."""
SWEEP_S = 30.0
_SWEEP_SHARE = 100
"""A sweep is followed by as many times its own time at least."""
_OLDEST = 2**30
"""Transactions since the last round: ages are right up to twice as many."""


class _Halted(Exception):
    """Nobody waits for this round any more."""


class RunIndex:
    """One writer of the index of `store`, over MLflow's database at `mlflow_url`."""

    def __init__(self, store: Store, mlflow_url: str) -> None:
        self._store = store
        self._tables = MLflowTables(mlflow_url)
        self._took_s = 0.0  # the last round, without a sweep
        self._sweep_due = 0.0
        self._registry: tuple[str, dict[str, str]] = (
            "",
            {},
        )  # mark and projects of the versions in the index
        self._halted = threading.Event()

    @property
    def pause_s(self) -> float:
        """See `Index.pause_s`."""
        return min(max(EVERY_S, _SHARE * self._took_s), LONGEST_PAUSE_S)

    def halt(self) -> None:
        """See `Index.halt`."""
        self._halted.set()

    def update(self) -> int:
        """See `Index.update`."""
        with suppress(_Halted):
            return self._update()
        return 0

    def _update(self) -> int:
        began = time.monotonic()
        projects = {each.project_name: each.namespace for each in self._store.projects.all()}
        progress = self._store.run_index.progress()
        with self._tables.snapshot() as snapshot:
            if snapshot is None:
                return 0
            is_new = _must_read_all(progress, snapshot.position)
            if is_new:
                changed = self._read_all(snapshot, projects)
            else:
                changed = self._read_changes(snapshot, projects, progress)
            changed += self._read_versions(snapshot, projects, is_new=is_new)
            self._took_s = time.monotonic() - began
            if is_new or time.monotonic() >= self._sweep_due:
                changed += self._sweep(snapshot, projects)
        self._store.run_index.finish(
            replace(
                progress,
                source=snapshot.position.source,
                horizon=snapshot.position.horizon,
                projects=projects,
                indexed_at=snapshot.position.at,
            )
        )
        if is_new:
            self._store.run_index.tidy()
        return changed

    def _read_all(self, snapshot: Snapshot, projects: Mapping[str, str]) -> int:
        return self._copy(snapshot, projects, snapshot.all_of(list(projects.values())), is_known=False)

    def _read_changes(self, snapshot: Snapshot, projects: Mapping[str, str], progress: Progress) -> int:
        assert progress.horizon is not None  # noqa: S101
        changed = self._copy(snapshot, projects, snapshot.changed_since(progress.horizon))
        moved = [space for name, space in projects.items() if progress.projects.get(name) != space]
        if moved:
            changed += self._copy(snapshot, projects, snapshot.all_of(moved), is_known=False)
        return changed

    def _read_versions(self, snapshot: Snapshot, projects: Mapping[str, str], *, is_new: bool) -> int:
        registry = (snapshot.registry_mark(), dict(projects))
        if registry == self._registry and not is_new:
            return 0
        changed = self._store.model_versions.put(snapshot.versions(projects))
        self._registry = registry
        return changed

    def _copy(
        self, snapshot: Snapshot, projects: Mapping[str, str], ids: Sequence[str], *, is_known: bool = True
    ) -> int:
        """Bring these runs up to date; with `is_known`, of metrics of runs that go on what is new alone."""
        changed = 0
        for begin in range(0, len(ids), BATCH):
            if self._halted.is_set():
                raise _Halted
            batch = ids[begin : begin + BATCH]
            runs = snapshot.read(projects, batch)
            going_on = [run.id for run in runs if not run.is_over] if is_known else []
            known = self._store.run_index.metrics(going_on)
            metrics = snapshot.metrics([run.id for run in runs], known)
            data = snapshot.data(runs)
            runs = [replace(run, metrics=metrics.get(run.id, {}), data=data.get(run.id, ())) for run in runs]
            sparks = self._sparks(snapshot, runs, known)
            changed += self._store.run_index.put([replace(run, spark=sparks.get(run.id)) for run in runs])
            changed += self._store.run_index.forget(list(set(batch) - {run.id for run in runs}))
        return changed

    def _sparks(self, snapshot: Snapshot, runs: Sequence[IndexedRun], known: Known) -> dict[str, Spark]:
        """Run -> the course of its project's primary metric; of what is `known` with what is new added."""
        stated = self._store.projects.described() if runs else {}
        primary = {run.id: stated[run.project]["primary_metric"] for run in runs if run.project in stated}
        widths = {
            (run.id, primary[run.id]): width_of(run.metrics[primary[run.id]].step)
            for run in runs
            if primary.get(run.id) in run.metrics
        }
        old = self._store.run_index.sparks([run for run, key in widths if (run, key) in known])
        old = {run: each for run, each in old.items() if each.width <= widths.get((run, each.key), 0)}
        found = snapshot.buckets(widths, {each: last for each, last in known.items() if each[0] in old})
        return {
            run: old.get(run, Spark(key, width)).with_values(width, found.get(run, ()))
            for (run, key), width in widths.items()
        }

    def _sweep(self, snapshot: Snapshot, projects: Mapping[str, str]) -> int:
        began = time.monotonic()
        there = snapshot.tag_counts(list(projects.values()))
        ours = self._store.run_index.ids()
        changed = self._store.run_index.forget(list(ours.keys() - there.keys()))
        differing = [id for id, count in there.items() if ours.get(id) != count]
        changed += self._copy(snapshot, projects, differing)
        changed += self._store.run_index.forget_names()
        ended = time.monotonic()
        self._sweep_due = ended + max(SWEEP_S, _SWEEP_SHARE * (ended - began))
        return changed


def _must_read_all(progress: Progress, now: Position) -> bool:
    """Whether nothing is indexed yet, a rebuild is asked for, or it was another database that was read."""
    return (
        progress.horizon is None
        or progress.rebuild_asked_at is not None
        or progress.source != now.source
        or not now.horizon - _OLDEST < progress.horizon <= now.horizon
    )
