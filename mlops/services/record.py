"""What was recorded of each service, as the worker last wrote it down beside the supervisor's status: who
reads it needs no database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops.entities import Availability, Restart, RestartCause, ServiceRecord, ServiceStatus
from mlops.installation import Installation, write_private


def record_file(installation: Installation) -> Path:
    """Where the worker writes."""
    return installation.run_dir / "availability.json"


def write_records(installation: Installation, records: Mapping[str, ServiceRecord]) -> None:
    """Write them, whole or not at all; raises `OSError`."""
    content = {name: asdict(record) for name, record in records.items()}
    text = json.dumps(content, default=lambda moment: moment.isoformat())
    write_private(record_file(installation), text, durable=False)


def read_records(installation: Installation) -> dict[str, ServiceRecord]:
    """Service -> what was last written; empty where nothing was, or nothing that can be read."""
    try:
        content = json.loads(record_file(installation).read_text(encoding="utf-8"))
        return {str(name): _record(each) for name, each in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def with_records(
    statuses: Sequence[ServiceStatus], records: Mapping[str, ServiceRecord]
) -> list[ServiceStatus]:
    """The statuses, each with what was recorded of it."""
    return [replace(status, record=records.get(status.name)) for status in statuses]


def _record(content: dict[str, Any]) -> ServiceRecord:
    return ServiceRecord(
        as_of=datetime.fromisoformat(content["as_of"]),
        restarts_day=int(content["restarts_day"]),
        restarts=tuple(
            Restart(
                **{**each, "at": datetime.fromisoformat(each["at"]), "cause": RestartCause(each["cause"])}
            )
            for each in content["restarts"]
        ),
        day=Availability(**content["day"]),
        week=Availability(**content["week"]),
        month=Availability(**content["month"]),
    )
