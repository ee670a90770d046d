"""The training's stored results against their bars, and the speed of the exported model next to torch.

A training takes most of an hour: `make bench-train` runs one, on 300 + 1,000 synthetic holes, and stores
what it gave beside this file; `make bench` reads that. Nothing of the services is in these times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from drilling.answers import Answers
from drilling.config import TrainingConfig
from drilling.cross_validation import FoldData, FoldTask, Learned, run_fold
from drilling.dataset import HoleSet, load_holes
from drilling.depth_grid import HoleWindows, grid_of, hole_windows
from drilling.export import open_session, run_onnx, to_float16, to_int8, to_onnx
from drilling.folds import grouped_folds
from drilling.model import KeypointModel
from drilling.out_of_fold import calibrated_on_other_folds, out_of_fold_table, suspicious_labels
from drilling.parallel import each
from drilling.predictor import KeypointPredictor
from drilling.setitec import read_log
from drilling.synthetic import make_hole, write_folder
from tests.bench.result import Comparison, Measure, Result

STORED = Path(__file__).with_name("drilling_training.json")
HOLES, LABELLED, SEED = 1300, 300, 7
BARS_MM = {"entry": 0.05, "transition": 0.05, "exit": 0.15}
MOST_MINUTES, MOST_MB, LEAST_NAMED = 60.0, 4096.0, 80.0
WRONG_SHARE, WRONG_MM, NOISE_FOLDS = 0.05, (0.3, 1.0), 6
TIMED, ROUNDS = 60, 7


def run() -> Iterator[Result]:
    """The stored training, then latencies measured now."""
    if STORED.is_file():
        yield from _stored(json.loads(STORED.read_text()))
    yield from _latency()


def _stored(kept: dict[str, Any]) -> Iterator[Result]:
    summary = kept["summary"]
    words = f"{summary['folds']} folds, {summary['holes']} synthetic holes"
    for method, points in summary["methods"].items():
        for point, bar in BARS_MM.items():
            ours = method == summary["registered"]
            name = f"Trained {point}, {method}, {words}: MAE" if ours else f"{point}, {method}, {words}: MAE"
            yield Measure(name, "mm", [points[point]["mae_mm"]], bar if ours else None)
        if ours:
            beyond = 100 * (1 - points["exit"]["within"]["0.4"])
            yield Measure(f"Exits beyond 0.4 mm, {method}, {words}", "%", [beyond], 5.0)
    for method, found in summary["comparisons"].items():
        name = f"Error per hole, mixer less {method}: {found['verdict']}; upper end of the 95 % interval"
        yield Measure(name, "mm", [found["high_mm"]], None if method == "combined" else 0.0)
    for row in summary["learning_curve"]:
        yield Measure(f"Gain of pre-training at {row['holes']} labelled holes", "mm", [row["gain_mm"]], None)
    for name, seconds in summary["seconds"].items():
        yield Measure(f"Training, share of {name}", "min", [seconds / 60], None)
    yield Measure("The whole training", "min", [kept["minutes"]], MOST_MINUTES)
    yield Measure("Peak memory of the training, all processes", "MB", [kept["peak_mb"]], MOST_MB)
    missed = 100 - kept["noise"]["named_percent"]
    yield Measure("Wrong labels (5 % of the holes) not among the 10 % doubted most", "%", [missed], 20.0)


def _latency() -> Iterator[Result]:
    """One hole at a time with one thread; weights as they were drawn, which the time does not depend on."""
    contents = [make_hole(number, holes=4000, seed=11).content for number in range(TIMED)]
    windows = [hole_windows([grid_of(read_log(content))]) for content in contents]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        model = KeypointModel(TrainingConfig().size()).eval()
        exported = to_onnx(model)
        variants = {
            "float32": exported,
            "float16": to_float16(exported),
            "int8": to_int8(exported, _joined(windows[:20])),
        }
        eager = partial(_torch, model)
        for name, variant in variants.items():
            session = open_session(variant, threads=1)
            ours, peer = [], []
            for number in range(ROUNDS):
                turns: list[tuple[list[float], Callable[[HoleWindows], object]]] = [
                    (ours, partial(run_onnx, session)),
                    (peer, eager),
                ]
                for kept, answer in turns if number % 2 else reversed(turns):
                    kept.append(statistics.median(_milliseconds(answer, windows)))
            title = f"One hole, ONNX {name}, one thread"
            yield Comparison(title, "ms", ours, "torch eager, one thread", peer, 1 / 3)
        predictor = KeypointPredictor(exported, threads=1)
        whole = [statistics.median(_milliseconds(predictor.predict, contents)) for _ in range(ROUNDS)]
        yield Measure("From the bytes of a log to its key points, median hole", "ms", whole, 25.0)
    finally:
        torch.set_num_threads(before)


def _torch(model: KeypointModel, windows: HoleWindows) -> object:
    with torch.inference_mode():
        return model(*(torch.from_numpy(array) for array in windows.as_dict().values()))


def _joined(windows: list[HoleWindows]) -> HoleWindows:
    count = min(each.signals.shape[1] for each in windows)
    arrays = (
        np.concatenate([each.as_dict()[name][:, :count] for each in windows])
        for name in ("signals", "start_mm", "length")
    )
    return HoleWindows(*arrays)


def _milliseconds(answer: Callable[[Any], object], given: list[Any]) -> list[float]:
    times = []
    for one in given:
        began = time.perf_counter()
        answer(one)
        times.append(1e3 * (time.perf_counter() - began))
    return times


def store(summary_file: Path | None) -> None:
    """Train, or take the training.json of a `drilling:train --out`, and store it with the experiment on wrong
    labels."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_folder(root / "data" / "raw", holes=HOLES, seed=SEED, labelled=LABELLED)
        kept = _given(summary_file) if summary_file else _trained(root)
        dataset = load_holes(root / "data" / "raw")
    kept["noise"] = wrong_labels(dataset, TrainingConfig(), kept["summary"]["registered"])
    STORED.write_text(json.dumps(kept, indent=1) + "\n")


def _given(path: Path) -> dict[str, Any]:
    """A training.json with `minutes` and `peak_mb` beside its figures."""
    summary = json.loads(path.read_text())
    return {"summary": summary, "minutes": summary.pop("minutes"), "peak_mb": summary.pop("peak_mb")}


def _trained(root: Path) -> dict[str, Any]:
    from drilling.training import IntegratedTrainingPipeline
    from tests.drilling.conftest import RecordingClient

    client = RecordingClient(root)
    began = time.perf_counter()
    with _Peak() as peak:
        outcome = IntegratedTrainingPipeline(client, TrainingConfig()).train(client.dvc_add("data/raw"))
    minutes = (time.perf_counter() - began) / 60
    return {"summary": outcome.summary, "minutes": minutes, "peak_mb": peak.megabytes}


def wrong_labels(dataset: HoleSet, config: TrainingConfig, method: Learned) -> dict[str, Any]:
    """Move a label of 5 % of the holes by 0.3 to 1 mm, train the network that was registered on all of them,
    and count how many are among the tenth of the labels that its folds doubt most."""
    rng = np.random.default_rng(SEED)
    labels = dataset.labels_mm.copy()
    wrong = rng.choice(len(labels), round(WRONG_SHARE * len(labels)), replace=False)
    point = rng.integers(3, size=wrong.size)
    labels[wrong, point] += rng.uniform(*WRONG_MM, wrong.size) * rng.choice([-1, 1], wrong.size)
    names = [hole.name for hole in dataset.holes]
    plan = grouped_folds([hole.groups for hole in dataset.holes], NOISE_FOLDS, SEED, names)
    data = FoldData([hole.grid for hole in dataset.holes], names, labels, plan, np.zeros(len(names), bool))
    answers = [np.full_like(labels, np.nan) for _ in Answers.__slots__]
    fold = np.empty(len(names), dtype=np.int64)
    with tempfile.TemporaryDirectory() as folder:
        work = partial(run_fold, data=data, config=config, encoder=None, folder=Path(folder))
        tasks = [FoldTask(part.number, method, pretrained=False) for part in plan.folds]
        for task, outcome in each(work, tasks, workers=psutil.cpu_count() or 1):
            fold[outcome.places] = task.fold
            for array, name in zip(answers, Answers.__slots__, strict=True):
                array[outcome.places] = getattr(outcome.answers, name)
    calibrated = calibrated_on_other_folds(Answers(*answers), labels, fold)
    holes = [replace(hole, label_mm=label) for hole, label in zip(dataset.holes, labels, strict=True)]
    table = out_of_fold_table(holes, fold, plan.components, {method: calibrated})
    doubted = set(suspicious_labels(table, method, 0.1)["file"])
    named = sum(names[place] in doubted for place in wrong)
    return {
        "method": method,
        "wrong": int(wrong.size),
        "named": named,
        "named_percent": 100 * named / wrong.size,
    }


class _Peak:
    """The largest sum of proportional set sizes of this process and those below it, looked at each second."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            total = 0
            for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.megabytes = max(self.megabytes, total / 2**20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, help="training.json of drilling:train --out, with its time")
    store(parser.parse_args().summary)
