"""Where Evidently's workspace lies, and what is called how there. Names follow from the project's name and
the report's number, so that nobody looks them up: who knows a project knows its files, and its address in
the UI."""

from __future__ import annotations

from collections import defaultdict
from enum import IntEnum
from pathlib import Path
from uuid import UUID, uuid5

from mlops.store.drift import Drift

MOST_SNAPSHOTS = 200
"""Reports of a project whose snapshots are kept, the newest: the UI reads all of them when it starts, in 4 s,
and holds them in memory, in 100 MB without their drawings."""
_PROJECTS = UUID("6c0c8a4e-5f0b-4b57-9d0e-0d6f6f1a7f63")


class Part(IntEnum):
    """What of a report a snapshot shows; in the UI each is a report of its own."""

    DRIFT = 0
    PERFORMANCE = 1


_NUMBERED = {part: UUID(f"0000000{part.value}-0000-8000-8000-000000000000").int for part in Part}
"""UUIDs of one's own making (RFC 9562, version 8); their last 62 bits are the report's number."""


def workspace_of(folder: Path) -> Path:
    """The workspace, below the folder of the drift reports' files."""
    return folder / "workspace"


def project_id(project: str) -> UUID:
    """Of the project in Evidently."""
    return uuid5(_PROJECTS, project)


def snapshot_id(number: int, part: Part = Part.DRIFT) -> UUID:
    """Of a report's snapshot."""
    return UUID(int=_NUMBERED[part] | number)


def snapshot_of(workspace: Path, project: str, number: int, part: Part = Part.DRIFT) -> Path:
    """The file of a report's snapshot."""
    return project_of(workspace, project) / "snapshots" / f"{snapshot_id(number, part)}.json"


def project_of(workspace: Path, project: str) -> Path:
    """The folder of a project."""
    return workspace / str(project_id(project))


def page_in_ui(project: str, number: int) -> str:
    """The path of a report in the UI."""
    return f"/projects/{project_id(project)}/reports/{snapshot_id(number)}"


def forget_snapshots(workspace: Path, drift: Drift) -> None:
    """Delete the snapshots of reports that are not kept any more, and those beyond the newest
    `MOST_SNAPSHOTS` reports of a project. Raises `ServiceUnavailable`."""
    of_project: dict[Path, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in workspace.glob("*/snapshots/*.json"):
        if (number := _number_of(path.stem)) is not None:
            of_project[path.parent][number].append(path)
    gone = drift.gone(number for found in of_project.values() for number in found)
    for found in of_project.values():
        kept = sorted(found.keys() - gone)[-MOST_SNAPSHOTS:]
        for number in found.keys() - set(kept):
            for path in found[number]:
                path.unlink(missing_ok=True)


def _number_of(name: str) -> int | None:
    try:
        told = UUID(name).int
    except ValueError:
        return None
    numbers = (told ^ base for base in _NUMBERED.values())
    return next((number for number in numbers if number < 2**62), None)
