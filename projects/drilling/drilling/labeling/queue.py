"""Which holes a person should label next, so that each label teaches the most."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drilling.errors import DrillingError
from drilling.labeling import durable
from drilling.labeling.hole_features import FEATURES, hole_features
from drilling.labeling.keypoints import KeyPoints

__all__ = [
    "FEATURES",
    "Candidate",
    "InvalidCandidates",
    "QueueItem",
    "QueueUnreadable",
    "QueueUnwritable",
    "annotation_queue",
    "hole_features",
    "read_queue",
    "write_queue",
]

Floats = NDArray[np.float64]
_FORMAT = "drilling annotation queue"
# A broken log is far from everything: beyond this it is not more novel.
_FARTHEST_DEVIATIONS = 4.0
# So that the order does not hang on the last bit of a sum: holes that score alike go by name.
_SCORE_DIGITS = 9


class InvalidCandidates(DrillingError):
    """Candidates or a choice that no queue can be made of."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(
            f"no annotation queue: {name} {problem}",
            remedy="Give each hole once, with drilling.labeling.queue.hole_features as its features.",
            name=name,
            problem=problem,
        )


class QueueUnreadable(DrillingError):
    """A file that is no annotation queue."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} holds no annotation queue: {reason}",
            remedy="Write it anew with drilling.labeling.queue.write_queue.",
            path=path,
            reason=reason,
        )


class QueueUnwritable(DrillingError):
    """A queue that the disk refused; an older one at the path is as it was."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be written: {reason}",
            remedy="Check the disk's room and the folder's permissions.",
            path=path,
            reason=reason,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A hole: its key points as the method sees them, features (d,), and whether a person labelled it."""

    file: str
    keypoints: KeyPoints
    features: Floats
    human: bool


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A hole to label. `score` is uncertainty times novelty, each 0 to 1; `why` is a sentence."""

    file: str
    score: float
    uncertainty: float
    novelty: float
    why: str


def annotation_queue(
    candidates: Iterable[Candidate], threshold: float = 0.8, limit: int | None = None
) -> tuple[QueueItem, ...]:
    """The holes to label, the one that teaches most first; at most `limit` of them.

    Holes that a person labelled, or whose confidence is at or above the threshold, are left out. The
    others are chosen one by one for the highest product of
    - uncertainty, 1 - confidence: uncertainty sampling (Lewis & Gale, A sequential algorithm for
      training text classifiers, SIGIR 1994);
    - novelty, of the distance to the nearest hole that a person labelled or that was chosen before:
      the greedy core-set (Sener & Savarese, Active learning for convolutional neural networks: a
      core-set approach, ICLR 2018). A distance x, in standard deviations over all candidates and
      averaged over the features, counts as x / (1 + x); 1 while nothing is labelled or chosen.
    An unknown feature (NaN) counts as the mean. The same candidates give the same queue, in whatever
    order they come; of equal scores the first file name goes first. Raises InvalidCandidates.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.file)
    _check(ordered, threshold, limit)
    confidence = np.array([candidate.keypoints.confidence for candidate in ordered])
    human = np.array([candidate.human for candidate in ordered], dtype=bool)
    wanted = np.flatnonzero(~human & (confidence < threshold))
    if wanted.size == 0:
        return ()
    space = _standardised(np.stack([candidate.features for candidate in ordered]))
    nearest = np.full(wanted.size, np.inf)
    for known in space[human]:
        nearest = np.minimum(nearest, _distances(space[wanted], known))
    picks = _greedy(1 - confidence[wanted], space[wanted], nearest, limit)
    return tuple(_item(ordered[wanted[place]], distance) for place, distance in picks)


def write_queue(items: Sequence[QueueItem], path: Path) -> None:
    """Write a queue as JSON, in one step. Raises QueueUnwritable."""
    content = {"format": _FORMAT, "items": [asdict(item) for item in items]}
    try:
        durable.replace(path, f"{json.dumps(content, indent=1, ensure_ascii=False)}\n".encode())
    except OSError as error:
        raise QueueUnwritable(path, error.strerror or str(error)) from error


def read_queue(path: Path) -> tuple[QueueItem, ...]:
    """Read what `write_queue` wrote. Raises QueueUnreadable."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise QueueUnreadable(path, error.strerror or "it cannot be opened") from error
    except (ValueError, RecursionError) as error:
        raise QueueUnreadable(path, f"it is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise QueueUnreadable(path, f'it is not an object whose "format" is "{_FORMAT}"')
    items = content.get("items")
    if not isinstance(items, list):
        raise QueueUnreadable(path, 'it has no list of "items"')
    return tuple(_read_item(path, place, values) for place, values in enumerate(items, 1))


def _greedy(
    uncertainty: Floats, space: Floats, nearest: Floats, limit: int | None
) -> list[tuple[int, float]]:
    """Places in the order chosen, each with its distance to what was known when it was."""
    left = np.ones(uncertainty.size, dtype=bool)
    picks: list[tuple[int, float]] = []
    for _ in range(uncertainty.size if limit is None else min(limit, uncertainty.size)):
        score = np.where(left, np.round(uncertainty * _novelty(nearest), _SCORE_DIGITS), -1.0)
        place = int(np.argmax(score))
        picks.append((place, float(nearest[place])))
        left[place] = False
        nearest = np.minimum(nearest, _distances(space, space[place]))
    return picks


def _novelty(distance: Floats) -> Floats:
    return 1 - 1 / (1 + distance)


def _distances(space: Floats, point: Floats) -> Floats:
    """Root mean square of the differences over the features."""
    squares: Floats = np.mean((space - point) ** 2, axis=1)
    return np.sqrt(squares)


def _standardised(features: Floats) -> Floats:
    known = np.isfinite(features)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, features - np.where(known, features, 0).sum(axis=0) / count, 0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    scaled = centred / np.where(deviation > 0, deviation, 1)
    return np.clip(scaled, -_FARTHEST_DEVIATIONS, _FARTHEST_DEVIATIONS)


def _item(candidate: Candidate, distance: float) -> QueueItem:
    confidence, reasons = candidate.keypoints.confidence, candidate.keypoints.reasons
    uncertainty, novelty = 1 - float(confidence), float(_novelty(np.array(distance)))
    because = f" ({'; '.join(reasons)})" if reasons else ""
    if np.isinf(distance):
        apart = "nothing is labelled yet"
    elif distance == 0:
        apart = "a labelled or queued hole has the very same features"
    else:
        apart = f"the most similar labelled or queued hole is {distance:.2f} standard deviations away"
    why = f"The method's confidence is {confidence:.2f}{because}, and {apart}."
    return QueueItem(candidate.file, round(uncertainty * novelty, _SCORE_DIGITS), uncertainty, novelty, why)


def _check(ordered: Sequence[Candidate], threshold: float, limit: int | None) -> None:
    if not 0 <= threshold <= 1:
        raise InvalidCandidates("threshold", f"is {threshold:g}, not from 0 to 1")
    if limit is not None and limit < 0:
        raise InvalidCandidates("limit", f"is {limit}, less than 0")
    for before, candidate in zip([None, *ordered], ordered, strict=False):
        shape, expected = np.shape(candidate.features), np.shape(ordered[0].features)
        if before is not None and before.file == candidate.file:
            raise InvalidCandidates(candidate.file, "is given twice")
        if len(shape) != 1 or shape != expected or shape == (0,):
            raise InvalidCandidates(
                candidate.file, f"has features of shape {shape}, not (d,) like the others"
            )
        if np.isinf(candidate.features).any():
            raise InvalidCandidates(candidate.file, "has an infinite feature")
        if not 0 <= candidate.keypoints.confidence <= 1:
            raise InvalidCandidates(
                candidate.file, f"has confidence {candidate.keypoints.confidence}, not 0 to 1"
            )


def _read_item(path: Path, place: int, values: Any) -> QueueItem:
    names = {field.name: str if field.name in ("file", "why") else float for field in fields(QueueItem)}
    if not isinstance(values, dict) or set(values) != set(names):
        raise QueueUnreadable(path, f"item {place} has not the keys {', '.join(names)}")
    for name, kind in names.items():
        if type(values[name]) is not kind:
            raise QueueUnreadable(path, f"item {place}: {name} is {values[name]!r}")
    return QueueItem(**values)
