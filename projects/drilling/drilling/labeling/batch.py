"""Key points of many logs, on all cores."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from drilling.labeling.combined import Method, estimate_keypoints
from drilling.labeling.hole_features import hole_features
from drilling.labeling.keypoints import KeyPoints
from drilling.setitec import SetitecLog

_CHUNK = 8
_WORTH_PROCESSES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A log's key points, under its source, with the features that tell holes alike."""

    source: str
    keypoints: KeyPoints
    features: NDArray[np.float64]


def estimate_all(
    logs: Iterable[SetitecLog], method: Method = "combined", *, workers: int | None = None
) -> Iterator[Estimate]:
    """The estimates of logs in their order, a few logs ahead of whoever takes them.

    Uses a process for each core, or `workers`, once there are more logs than the start of processes
    is worth; scripts need the usual `if __name__ == "__main__"` then. Raises InvalidConfig for an
    unknown method.
    """
    workers = workers or os.cpu_count() or 1
    rest = iter(logs)
    first = list(islice(rest, _WORTH_PROCESSES))
    if workers == 1 or len(first) < _WORTH_PROCESSES:
        yield from (_estimate(log, method) for log in chain(first, rest))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        chunks = _chunks(chain(first, rest))
        waiting = [pool.submit(_estimates, chunk, method) for chunk in islice(chunks, 2 * workers)]
        while waiting:
            done = waiting.pop(0).result()
            waiting += [pool.submit(_estimates, chunk, method) for chunk in islice(chunks, 1)]
            yield from done


def _chunks(logs: Iterator[SetitecLog]) -> Iterator[list[SetitecLog]]:
    while chunk := list(islice(logs, _CHUNK)):
        yield chunk


def _estimates(logs: list[SetitecLog], method: Method) -> list[Estimate]:
    return [_estimate(log, method) for log in logs]


def _estimate(log: SetitecLog, method: Method) -> Estimate:
    keypoints = estimate_keypoints(log, method)
    return Estimate(log.source, keypoints, hole_features(log, keypoints))
