"""Key points of many logs, on all cores."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from joblib import Parallel, delayed
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
    is worth. Raises InvalidConfig for an unknown method.
    """
    workers = workers or os.cpu_count() or 1
    rest = iter(logs)
    first = list(islice(rest, _WORTH_PROCESSES))
    everything = chain(first, rest)
    if workers == 1 or len(first) < _WORTH_PROCESSES:
        yield from (_estimate(log, method) for log in everything)
        return
    # joblib's processes do not run the caller's script again, as those of multiprocessing do.
    parallel = Parallel(n_jobs=workers, batch_size=_CHUNK, return_as="generator", max_nbytes=None)
    yield from parallel(delayed(_estimate)(log, method) for log in everything)


def _estimate(log: SetitecLog, method: Method) -> Estimate:
    keypoints = estimate_keypoints(log, method)
    return Estimate(log.source, keypoints, hole_features(log, keypoints))
