"""Drift reports: what a large one takes, how often they cry wolf, and which shifts they find how soon."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson

from mlops.children import Child
from mlops.entities import ColumnKind, JobState, ProjectWorkspace
from mlops.monitoring.base import DriftSettings
from mlops.monitoring.distances import Array
from mlops.monitoring.evidently import EvidentlyMonitor
from mlops.monitoring.sample import Sample, SampledColumn
from mlops.store.store import Store
from mlops.worker.drift_job import DriftOrder
from tests.bench.database import running
from tests.bench.result import Measure, Result

_REFERENCE_ROWS = 10_000
_WINDOWS = (50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000)
_KINDS = {"x": ColumnKind.NUMERICAL, "c": ColumnKind.CATEGORICAL, "t": ColumnKind.TEXT}
Columns = dict[str, Array]


def run(quick: bool) -> Iterator[Result]:
    """The three questions in turn."""
    yield from _large(2_000 if quick else 50_000, 1 if quick else 3)
    for rows in (50, 500, 5000):
        yield from _false_alarms(rows, 20 if quick else 200)
    for name, shift in SHIFTS.items():
        yield _found(name, shift, 3 if quick else 20)


def _large(rows: int, rounds: int) -> Iterator[Result]:
    """What the process of a report does: read the window, judge it, keep the rows, draw the page."""
    seconds, memory, bare = [], [], []
    with running() as installation:
        store = Store(installation.database_url())
        store.upgrade()
        store.projects.put(ProjectWorkspace.of("b", "b", "0", "", Path("/nowhere")), {})
        for batch in _logged(stream(np.random.default_rng(1), rows)):
            store.inferences.add(batch)
        for _ in range(rounds):
            now = datetime.now(UTC)
            store.drift.ask("b", "m", 1, now - timedelta(hours=1), now)
            job = store.drift.claim()
            assert job is not None
            order = DriftOrder(job.id, str(installation.root), f"{__name__}:reference_of_{rows}")
            started = time.monotonic()
            child = Child("mlops.worker.drift_job", asdict(order))
            while store.drift.get(job.id).state is JobState.RUNNING:
                time.sleep(0.02)
            bare.append(time.monotonic() - started)
            assert child.wait(300)
            seconds.append(time.monotonic() - started)
            memory.append(float(child.ended().answer["peak_mb"]))
            assert store.drift.get(job.id).current_rows == rows
        store.close()
    name = f"drift report of {rows} inferences against {rows} rows, 30 columns"
    yield Measure(f"{name}: time, with Evidently's page", "s", seconds, 20)
    yield Measure(f"{name}: memory", "MB (peak RSS)", memory, 2000)
    yield Measure(f"{name}: time until the rows are there", "s", bare, None)


def _logged(columns: Columns) -> Iterator[list[dict[str, object]]]:
    """Rows of the inference log, a thousand at a time: one for each row, as a table's model leaves them."""
    about = {"project": "b", "model": "m", "version": 1, "side": "champion", "status": 200, "latency_s": 0.01}
    at, rows = datetime.now(UTC) - timedelta(minutes=1), len(columns["x0"])
    for begin in range(0, rows, 1000):
        batch = []
        for place in range(begin, min(begin + 1000, rows)):
            inputs = {name: [_plain(values[place])] for name, values in columns.items()}
            told = orjson.dumps({"rows": 1, "inputs": inputs, "outputs": {}}).decode()
            batch.append(about | {"at": at, "request_id": str(place), "features": told})
        yield batch


def _plain(value: object) -> object:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def reference_of_50000(_: object, __: str, ___: str, ____: int, folder: Path) -> Path:
    """What the process brings as the version's reference."""
    return _reference(50_000, folder)


def reference_of_2000(_: object, __: str, ___: str, ____: int, folder: Path) -> Path:
    """The same, of the quick round."""
    return _reference(2000, folder)


def _reference(rows: int, folder: Path) -> Path:
    sample(stream(np.random.default_rng(0), rows)).write(folder / "reference.parquet")
    return folder / "reference.parquet"


def _false_alarms(rows: int, windows: int) -> Iterator[Result]:
    rng = np.random.default_rng(rows)
    reference = sample(stream(rng, _REFERENCE_ROWS))
    ours = theirs = 0
    for _ in range(windows):
        current = sample(stream(rng, rows))
        ours += EvidentlyMonitor().report(reference, current, DriftSettings()).drifted
        theirs += _evidently_alarms(reference, current)
    name = f"drift: {windows} windows of {rows} rows without a shift, 30 columns: those that alarm"
    yield Measure(name, "%", [100 * ours / windows], 2)
    yield Measure(f"{name}, by Evidently's defaults", "%", [100 * theirs / windows], None)


def _evidently_alarms(reference: Sample, current: Sample) -> bool:
    """Whether any column drifts by the methods and thresholds that Evidently chooses; texts left out, which
    it judges by training a classifier."""
    import pandas as pd
    from evidently.legacy.calculations.stattests import get_stattest

    for one, other in zip(reference.columns, current.columns, strict=True):
        if one.kind is ColumnKind.TEXT:
            continue
        kind = "num" if one.kind is ColumnKind.NUMERICAL else "cat"
        sides = [pd.Series(column.present) for column in (one, other)]
        test = get_stattest(*sides, kind, None)
        if test(*sides, kind, None).drifted:
            return True
    return False


Shift = Callable[[np.random.Generator, Columns], str]
"""Changes a stream in place; returns the column it changed."""


def _found(name: str, shift: Shift, seeds: int) -> Result:
    after = [_found_after(shift, seed) for seed in range(seeds)]
    found = sum(map(math.isfinite, after))
    unit = f"inferences; in {found} of {seeds} streams"
    return Measure(f"drift: {name}, found after", unit, after, None)


def _found_after(shift: Shift, seed: int) -> float:
    """The first of the growing windows in which the changed column drifts."""
    rng = np.random.default_rng(seed)
    reference = sample(stream(rng, _REFERENCE_ROWS))
    columns = stream(rng, _WINDOWS[-1])
    changed = shift(rng, columns)
    everything = sample(columns)
    for rows in _WINDOWS:
        report = EvidentlyMonitor().report(reference, head(everything, rows), DriftSettings())
        if any(row.drifted and row.column == changed for row in report.columns):
            return float(rows)
    return math.inf


def mean(deviations: float) -> Shift:
    """The mean moves by so many standard deviations."""

    def shift(_: np.random.Generator, columns: Columns) -> str:
        columns["x0"] += deviations
        return "x0"

    return shift


def scale(factor: float) -> Shift:
    """The spread grows, the mean stays."""

    def shift(_: np.random.Generator, columns: Columns) -> str:
        columns["x0"] *= factor
        return "x0"

    return shift


def category(share: float) -> Shift:
    """So many of the rows have a category that never was."""

    def shift(rng: np.random.Generator, columns: Columns) -> str:
        columns["c0"][rng.random(len(columns["c0"])) < share] = "never seen"
        return "c0"

    return shift


def missing(share: float) -> Shift:
    """So many more of the rows have no value."""

    def shift(rng: np.random.Generator, columns: Columns) -> str:
        columns["x0"][rng.random(len(columns["x0"])) < share] = np.nan
        return "x0"

    return shift


def ramp(deviations: float, over: int) -> Shift:
    """The mean moves, a little with each inference."""

    def shift(_: np.random.Generator, columns: Columns) -> str:
        columns["x0"] += deviations * np.arange(len(columns["x0"])) / over
        return "x0"

    return shift


SHIFTS: dict[str, Shift] = {
    **{f"mean +{by:g} sd": mean(by) for by in (0.1, 0.25, 0.5, 1)},
    **{f"scale x {by:g}": scale(by) for by in (1.1, 1.25, 1.5, 2)},
    **{f"new category in {share:.1%}": category(share) for share in (0.005, 0.02, 0.1)},
    **{f"missing in {share:.1%}": missing(share) for share in (0.005, 0.02, 0.1)},
    "mean rising by 1 sd over 5,000": ramp(1, 5000),
    "mean rising by 1 sd over 20,000": ramp(1, 20_000),
}


def stream(rng: np.random.Generator, rows: int) -> Columns:
    """30 columns as models have them: numbers of several shapes, counts, flags, categories of few and many
    values, one with missing values, one of texts, and a prediction."""
    columns: Columns = {f"x{place}": rng.normal(size=rows) for place in range(10)}
    columns |= {f"x{place}": rng.lognormal(sigma=1 + place / 20, size=rows) for place in range(10, 14)}
    columns |= {f"x{place}": rng.uniform(-1, 1, size=rows).round(2) for place in range(14, 16)}
    columns |= {f"x{place}": rng.poisson(place / 4, size=rows).astype(float) for place in range(16, 20)}
    columns["x20"] = np.where(rng.random(rows) < 0.05, np.nan, rng.normal(size=rows))
    columns["x21"] = columns["x0"] + columns["x1"] + rng.normal(scale=0.1, size=rows)
    columns |= {f"c{place}": _categories(rng, rows, 2 + 2 * place) for place in range(4)}
    columns["c4"] = _choose(rng, rows, ["true", "false"], [0.02, 0.98])
    columns["c5"] = _categories(rng, rows, 300)
    columns["t0"] = np.array([f"part {number}" for number in rng.integers(10**9, size=rows)], dtype=object)
    columns["c6"] = _choose(rng, rows, ["good", "worn"], [0.9, 0.1])
    return columns


def _categories(rng: np.random.Generator, rows: int, count: int) -> Array:
    """The n-th comes an n-th as often as the first."""
    weights = 1 / np.arange(1, count + 1)
    return _choose(rng, rows, [f"kind {place}" for place in range(count)], weights / weights.sum())


def _choose(rng: np.random.Generator, rows: int, names: list[str], shares: Array | list[float]) -> Array:
    return np.array(names, dtype=object)[rng.choice(len(names), size=rows, p=shares)]


def sample(columns: Columns) -> Sample:
    """As `Sample.of` gives it, without the way over plain values, which takes longer than all else here."""
    found = tuple(
        SampledColumn(name, "outputs" if name == "c6" else "inputs", _KINDS[name[0]], values)
        for name, values in columns.items()
    )
    return Sample(found, rows=len(columns["x0"]))


def head(whole: Sample, rows: int) -> Sample:
    """Its first rows."""
    columns = tuple(replace(column, values=column.values[:rows]) for column in whole.columns)
    return Sample(columns, rows=rows)
