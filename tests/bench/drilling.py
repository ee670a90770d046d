"""Reading logs next to pandas, and the automatic key points against the synthetic truth."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from drilling.labeling import KEY_POINTS, estimate_all
from drilling.labeling.calibration import worst_error_mm
from drilling.setitec import SetitecLog, read_log, read_logs
from drilling.synthetic import make_hole, write_folder
from tests.bench.result import Comparison, Measure, Result

FILES, ONE_BY_ONE, HOLES, SEED = 1300, 260, 300, 11
ROUNDS = 9
FAMILIES = ("two speeds", "one speed", "lubricated")
BARS_MM = {"entry": 0.10, "transition": 0.10, "exit": 0.20}
_DATA_TITLE = b"*** Datas ***"


def run() -> Iterator[Result]:
    """Whole logs in one process, a folder of 1,300, then key points of 300 holes of all families."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "logs"
        write_folder(folder, holes=FILES, seed=SEED, progress=False)
        paths = sorted(folder.glob("*.xls"))
        contents = [path.read_bytes() for path in paths[:: FILES // ONE_BY_ONE]]
        yield from _one_by_one(contents)
        yield from _folder(folder, paths)
    yield from _key_points()


def _one_by_one(contents: list[bytes]) -> Iterator[Result]:
    samples = [_samples(content) for content in contents]
    ours, peer = [], []
    for number in range(ROUNDS):
        turns: list[tuple[list[float], Callable[[], object]]] = [
            (ours, lambda: _each(read_log, contents)),
            (peer, lambda: _each(_with_pandas, samples)),
        ]
        for kept, work in turns if number % 2 else reversed(turns):
            kept.append(len(contents) / _seconds(work))
    peer_name = "pandas.read_csv, samples alone, seven columns"
    yield Comparison("Reading whole logs, one process", "files/s", ours, peer_name, peer, 1.0, at_least=True)


def _folder(folder: Path, paths: list[Path]) -> Iterator[Result]:
    seconds = [_seconds(lambda: _each(type, read_logs(folder, progress=False))) for _ in range(ROUNDS)]
    alone = [_seconds(lambda: _each(read_log, paths)) for _ in range(3)]
    name = f"read_logs, {len(paths)} files on this machine's cores"
    yield Measure(f"{name}, with the start of its processes", "s", seconds[:1], 2.0)
    yield Measure(f"{name}, later calls", "s", seconds[1:], 2.0)
    yield Measure("The same files one by one in one process", "s", alone, None)


def _key_points() -> Iterator[Result]:
    logs, truth, families = _holes()
    began = time.perf_counter()
    points = [estimate.keypoints for estimate in estimate_all(logs, workers=1)]
    each = (time.perf_counter() - began) / len(logs) * 1000
    found = np.array([point.as_array() for point in points])
    confidence = np.array([point.confidence for point in points])
    for family in ("all families", *FAMILIES):
        chosen = np.array([family in (kind, "all families") for kind in families])
        away = np.abs(found[chosen] - truth[chosen])
        for place, (name, bar) in enumerate(BARS_MM.items()):
            mean = float(np.nanmean(away[:, place]))
            yield Measure(
                f"Automatic {name}, {family}, {chosen.sum()} synthetic holes: MAE", "mm", [mean], bar
            )
    answered = 100 * float(np.isfinite(found).mean())
    yield Measure("Automatic key points not answered", "%", [100 - answered], None)
    worst = worst_error_mm(found, truth)
    thirds = np.array_split(worst[np.argsort(confidence, kind="stable")], 3)
    for words, errors in zip(("least", "more", "most"), thirds, strict=True):
        yield Measure(f"Mean worst error of the {words} confident third", "mm", [float(errors.mean())], None)
    yield Measure("A hole's key points, one core", "ms", [each], None)


def _holes() -> tuple[list[SetitecLog], np.ndarray, list[str]]:
    """Drilled holes of the three families, a hundred of each, with their true key points."""
    logs, truth, families = [], [], []
    number = 0
    while len(logs) < HOLES:
        hole = make_hole(number, holes=4000, seed=SEED)
        number += 1
        family = str(hole.truth["family"])
        if hole.truth["cycle"] == "drilled" and families.count(family) < HOLES // len(FAMILIES):
            logs.append(read_log(hole.content))
            truth.append([hole.truth[name] for name in KEY_POINTS])
            families.append(family)
    return logs, np.array(truth, dtype=np.float64), families


def _samples(content: bytes) -> bytes:
    """The row of data names and the rows of samples."""
    return content[content.index(b"\n", content.index(_DATA_TITLE)) + 1 :]


def _with_pandas(samples: bytes) -> pd.DataFrame:
    return pd.read_csv(
        io.BytesIO(samples), sep="\t", decimal=",", usecols=range(7), engine="c", encoding="latin-1"
    )


def _each(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    for item in items:
        work(item)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
