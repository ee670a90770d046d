"""What a run's journal holds, read back: of a run that no server knows yet, that is everything."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlops.tracking import codec
from mlops.tracking.run_folder import RunFolder
from mlops.tracking.segment import records


@dataclass
class Recorded:
    """The last value of each metric, and the tags."""

    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def undelivered(folder: RunFolder) -> Recorded | None:
    """What is recorded in the run's segments; None when one was delivered, and is gone, meanwhile."""
    found = Recorded(tags=dict(folder.opening().tags))
    for segment in folder.segments():
        decoder = codec.Decoder()
        try:
            for payload, _ in records(segment):
                _add(found, decoder.decode(payload))
        except FileNotFoundError:
            return None
        except ValueError:  # a damaged record: what is behind it is not delivered either
            continue
    return None if folder.mlflow_id() is not None else found


def _add(found: Recorded, record: object) -> None:
    if isinstance(record, codec.Points):
        found.metrics.update(zip(record.keys, record.values, strict=True))
    elif isinstance(record, dict) and record.get("op") == "texts":
        found.tags.update(record["tags"])
