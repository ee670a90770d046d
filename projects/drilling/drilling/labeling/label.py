"""One label: where a person, the automatic method or a model puts the key points of a hole."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from drilling.labeling.keypoints import KEY_POINTS, KeyPoints
from drilling.labeling.label_checks import (
    check_digest,
    check_file,
    check_text,
    check_time,
    confidence_of,
    depth_of,
    index_of,
    refuse,
)
from drilling.labeling.label_errors import LabelsUnreadable

Source = Literal["human", "automatic", "model"]
INDEXES = ("entry_index", "transition_index", "exit_index")
OPTIONAL = (*KEY_POINTS, *INDEXES, "confidence", "by", "reason")
"""The fields that may be None."""


@dataclass(frozen=True, slots=True)
class Label:
    """The key points of one log as somebody or something sees them; checked when it is made.

    `file` is the log's path below the folder of logs, with `/`. Depths are mm of |position| and grow
    from entry to exit; None where a key point is not known. An index is the sample that was labelled.
    `by` is who labelled, required of a person. `confidence` is 0 to 1. `at` is in UTC. `reason` says
    why the hole cannot be labelled, or not wholly: it is required where there is no key point, and
    refused where there are all three. `log_digest` is the log's `digest_of`. Raises InvalidLabel.
    """

    file: str
    entry_mm: float | None
    transition_mm: float | None
    exit_mm: float | None
    entry_index: int | None
    transition_index: int | None
    exit_index: int | None
    source: Source
    method: str
    confidence: float | None
    by: str | None
    at: datetime
    tool_version: str
    reason: str | None
    log_digest: str

    def __post_init__(self) -> None:
        check_file(self.file)
        for name in KEY_POINTS:
            object.__setattr__(self, name, depth_of(self.file, name, getattr(self, name)))
        for name in INDEXES:
            object.__setattr__(self, name, index_of(self.file, name, getattr(self, name)))
        object.__setattr__(self, "confidence", confidence_of(self.file, self.confidence))
        _check_points(self)
        _check_origin(self)

    def is_stale(self, log_digest: str) -> bool:
        """Whether the label was made on other bytes than the log with this digest has."""
        return self.log_digest != log_digest


@dataclass(frozen=True, slots=True)
class Retraction:
    """Takes back every label that people gave to a log until `at` (UTC). Raises InvalidLabel."""

    file: str
    by: str
    at: datetime
    reason: str

    def __post_init__(self) -> None:
        check_file(self.file)
        for name in ("by", "reason"):
            check_text(self.file, name, getattr(self, name))
        check_time(self.file, self.at)


Entry = Label | Retraction


def label_of(
    keypoints: KeyPoints,
    file: str,
    *,
    at: datetime,
    tool_version: str,
    log_digest: str,
    source: Literal["automatic", "model"] = "automatic",
) -> Label:
    """What an automatic method found as a label.

    Where it found nothing, or key points out of order, the label has none and says so.
    """
    depths = [getattr(keypoints, name) for name in KEY_POINTS]
    places: list[int | None] = [getattr(keypoints, name) for name in INDEXES]
    reason = None
    if not (_grow(depths) and _grow(places)) or all(depth is None for depth in depths):
        reason = "; ".join(keypoints.reasons) or "the method found no key point, or not in order"
        depths, places = [None] * 3, [None] * 3
    return Label(
        file=file,
        entry_mm=depths[0],
        transition_mm=depths[1],
        exit_mm=depths[2],
        entry_index=places[0],
        transition_index=places[1],
        exit_index=places[2],
        source=source,
        method=keypoints.method,
        confidence=keypoints.confidence,
        by=None,
        at=at,
        tool_version=tool_version,
        reason=reason,
        log_digest=log_digest,
    )


def digest_of(log: Path | bytes) -> str:
    """The sha256 of a log's bytes, in hexadecimal. Raises LabelsUnreadable where there is no such file."""
    if isinstance(log, bytes):
        return hashlib.sha256(log).hexdigest()
    try:
        return hashlib.sha256(log.read_bytes()).hexdigest()
    except OSError as error:
        raise LabelsUnreadable(log, error.strerror or "it cannot be opened") from error


def to_values(entry: Entry) -> dict[str, Any]:
    """The fields as JSON holds them, in their order."""
    values = {field.name: getattr(entry, field.name) for field in fields(entry)}
    return {**values, "at": entry.at.isoformat()}


def label_from(values: Mapping[str, Any]) -> Label:
    """The label that `to_values` described; what may be None may be missing. Raises InvalidLabel."""
    return Label(**_checked_names(values, Label, OPTIONAL))


def retraction_from(values: Mapping[str, Any]) -> Retraction:
    """The retraction that `to_values` described. Raises InvalidLabel."""
    return Retraction(**_checked_names(values, Retraction, ()))


def _checked_names(values: Mapping[str, Any], kind: type[Entry], optional: tuple[str, ...]) -> dict[str, Any]:
    file, names = str(values.get("file", "")), [field.name for field in fields(kind)]
    unknown = sorted(set(values) - set(names))
    missing = [name for name in names if name not in values and name not in optional]
    for name, problem in ((unknown, "is unknown"), (missing, "is missing")):
        if name:
            refuse(file, name[0], problem)
    try:
        at = datetime.fromisoformat(values["at"])
    except (TypeError, ValueError):
        refuse(file, "at", f"is {values['at']!r}, not a time in ISO 8601")
    return {**dict.fromkeys(optional), **values, "at": at}


def _check_points(label: Label) -> None:
    depths = [getattr(label, name) for name in KEY_POINTS]
    places = [getattr(label, name) for name in INDEXES]
    for name, depth, place in zip(INDEXES, depths, places, strict=True):
        if place is not None and depth is None:
            refuse(label.file, name, "is given for a key point that has no depth")
    if not _grow(depths):
        refuse(label.file, "entry_mm, transition_mm, exit_mm", f"are out of order: {depths}")
    if not _grow(places):
        refuse(label.file, "entry_index, transition_index, exit_index", f"are out of order: {places}")
    known = sum(depth is not None for depth in depths)
    if known == 0 and label.reason is None:
        refuse(label.file, "reason", "is missing, and there is no key point")
    if known == len(depths) and label.reason is not None:
        refuse(label.file, "reason", "is given why it cannot be labelled, and so are all key points")


def _check_origin(label: Label) -> None:
    if label.source not in get_args(Source):
        refuse(label.file, "source", f"is {label.source!r}, not one of {', '.join(get_args(Source))}")
    for name in ("method", "tool_version"):
        check_text(label.file, name, getattr(label, name))
    for name in ("by", "reason"):
        if getattr(label, name) is not None:
            check_text(label.file, name, getattr(label, name))
    if label.source == "human" and label.by is None:
        refuse(label.file, "by", "is missing: a person's label says whose it is")
    check_time(label.file, label.at)
    check_digest(label.file, label.log_digest)


def _grow(values: Sequence[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return all(before < after for before, after in itertools.pairwise(known))
