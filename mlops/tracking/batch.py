"""Many records as few `log_batch` requests, within the limits of MLflow's server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite

from mlops.tracking.codec import Points

METRICS, TEXTS, ENTITIES, BYTES = 1000, 100, 1000, 900_000
"""What one `log_batch` takes: metrics, params or tags each, all together, and bytes (of 1 MB)."""


@dataclass(frozen=True, slots=True)
class Item:
    """One metric, param or tag, as the JSON that is sent."""

    kind: str
    """metrics, params or tags: its place in the request."""
    text: str


@dataclass
class Batch:
    """What is sent together. Of a tag that is set twice the last value is kept."""

    metrics: list[Item] = field(default_factory=list)
    params: dict[str, Item] = field(default_factory=dict)
    tags: dict[str, Item] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.metrics) + len(self.params) + len(self.tags)

    @property
    def full(self) -> bool:
        """Whether it fills a request."""
        return len(self.metrics) >= METRICS or len(self.params) >= TEXTS or len(self.tags) >= TEXTS

    def add_points(self, points: Points) -> None:
        """Add one call's metrics."""
        rest = f',"timestamp":{points.time_ms},"step":{points.step}}}'
        for key, value in zip(points.keys, points.values, strict=True):
            # The protocol's JSON writes what is not finite as text.
            number = repr(value) if isfinite(value) else _NOT_FINITE[repr(value)]
            self.metrics.append(Item("metrics", f'{{"key":{_quoted(key)},"value":{number}{rest}'))

    def add_texts(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Add params and tags."""
        self.params |= {key: _pair("params", key, value) for key, value in params.items()}
        self.tags |= {key: _pair("tags", key, value) for key, value in tags.items()}

    def requests(self) -> Iterator[list[Item]]:
        """Everything, in portions that a request holds."""
        portion: list[Item] = []
        counts, size = dict.fromkeys(_KINDS, 0), 0
        for item in (*self.params.values(), *self.tags.values(), *self.metrics):
            most = METRICS if item.kind == "metrics" else TEXTS
            length = len(item.text) + 1  # ASCII: json escapes the rest
            if portion and (counts[item.kind] >= most or len(portion) >= ENTITIES or size + length > BYTES):
                yield portion
                portion, counts, size = [], dict.fromkeys(counts, 0), 0
            portion.append(item)
            counts[item.kind] += 1
            size += length
        if portion:
            yield portion


def body(run_id: str, items: list[Item]) -> bytes:
    """The request's JSON."""
    lists = {kind: [item.text for item in items if item.kind == kind] for kind in _KINDS}
    parts = [f'"{kind}":[{",".join(texts)}]' for kind, texts in lists.items() if texts]
    return f'{{"run_id":{json.dumps(run_id)},{",".join(parts)}}}'.encode()


_KINDS = ("metrics", "params", "tags")
_NOT_FINITE = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}


def _pair(kind: str, key: str, value: str) -> Item:
    return Item(kind, f'{{"key":{_quoted(key)},"value":{json.dumps(value)}}}')


@lru_cache(maxsize=8192)
def _quoted(key: str) -> str:
    return json.dumps(key)
