"""Key points of many logs, on all cores."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from drilling.labeling.combined import Method, estimate_keypoints
from drilling.labeling.hole_features import hole_features
from drilling.labeling.keypoints import KeyPoints
from drilling.processes import cores, in_processes
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
    workers = workers or cores()
    rest = iter(logs)
    first = list(islice(rest, _WORTH_PROCESSES))
    work = partial(_estimate, method=method)
    if workers == 1 or len(first) < _WORTH_PROCESSES:
        yield from map(work, chain(first, rest))
    else:
        yield from chain.from_iterable(in_processes(work, chain(first, rest), _CHUNK, workers))


def _estimate(log: SetitecLog, method: Method) -> Estimate:
    keypoints = estimate_keypoints(log, method)
    return Estimate(log.source, keypoints, hole_features(log, keypoints))
