"""What waits in the journals of a project. Needs no server, and nothing that is slow to import."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlops.errors import JournalError
from mlops.tracking import codec
from mlops.tracking.run_folder import RunFolder, confirmed
from mlops.tracking.segment import is_written_to, records


class PendingState(StrEnum):
    """Why a run is still in the journal."""

    WRITING = "writing"
    """A living process writes or delivers it."""
    ENDED = "ended"
    """It is over, and not wholly at the server."""
    KILLED = "killed"
    """Its process died before its end."""
    REFUSED = "refused"
    """Everything was sent; what the server refused is kept."""
    DAMAGED = "damaged"
    """What it was opened with cannot be read; it is left alone."""


@dataclass(frozen=True)
class PendingRun:
    """One run of a journal, as it was a moment ago."""

    project: str
    key: str
    state: PendingState
    name: str = ""
    mlflow_id: str | None = None
    """None for a run that the server does not know yet."""
    started_at: datetime | None = None
    bytes: int = 0
    """Of records and files that the server has not confirmed."""
    files: int = 0
    """Artifacts' files on their way."""
    refused: int = 0
    """Records the server refused."""
    problem: str = ""
    """What is damaged."""


def status(journal: Path) -> list[PendingRun]:
    """The runs in a project's folder of journals that have something to tell, oldest first."""
    found = [run for folder in folders(journal) if (run := look(folder)) is not None]
    return sorted(found, key=lambda run: (run.started_at or datetime.min.replace(tzinfo=UTC), run.key))


def look(folder: RunFolder) -> PendingRun | None:
    """The run of that folder; None when nothing of it is pending."""
    project, key = folder.path.parent.name, folder.path.name
    try:
        opening = folder.opening()
    except JournalError as error:
        if not folder.path.exists():  # delivered this moment
            return None
        return PendingRun(project, key, PendingState.DAMAGED, problem=str(error.problem))
    try:
        state, waiting, files = _state(folder), unsent(folder), len(_kept(folder))
    except FileNotFoundError:
        return look(folder)  # it is being delivered: once more
    except OSError as error:
        return PendingRun(project, key, PendingState.DAMAGED, problem=str(error))
    run = PendingRun(
        project=project,
        key=key,
        state=state,
        name=opening.name,
        mlflow_id=folder.mlflow_id() or opening.mlflow_id,
        started_at=datetime.fromtimestamp(opening.started_ms / 1000, UTC),
        bytes=waiting,
        files=files,
        refused=len(refused(folder)),
    )
    idle = run.state is PendingState.WRITING and run.mlflow_id and not run.bytes and not run.refused
    return None if idle else run


def folders(journal: Path) -> list[RunFolder]:
    """Every run's folder in a project's folder of journals, whole or damaged."""
    if not journal.is_dir():
        return []
    return [RunFolder(path) for path in journal.iterdir() if path.is_dir() and not path.name.startswith(".")]


def is_held(folder: RunFolder) -> bool:
    """Whether a living process delivers the run, or writes to it."""
    return any(is_written_to(path) for path in (folder.lock, *folder.segments()))


def waits(folder: RunFolder) -> bool:
    """Whether the run has something left to send that no living process delivers."""
    return folder.is_sound() and not _is_kept_for_refused(folder) and not is_held(folder)


def unsent(folder: RunFolder) -> int:
    """Bytes of records and files that the server has not confirmed; `FileNotFoundError` while it is being
    delivered."""
    segments = sum(max(0, written(segment) - confirmed(segment)) for segment in folder.segments())
    return segments + sum(_kept(folder))


def count_waiting(journals: Path) -> int:
    """Runs of all projects below `journals` that wait and that no living process delivers."""
    return sum(waits(folder) for name in projects(journals) for folder in folders(journals / name))


def written(segment: Path) -> int:
    """Offset behind the last record. A segment whose writer was killed ends in zeros, and so may a record:
    then this is a few bytes short."""
    with segment.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 64))
        if any(file.read()):
            return size
        file.seek(0)
        return len(file.read().rstrip(b"\0"))


def refused(folder: RunFolder) -> list[dict[str, Any]]:
    """The records of the run that the server refused: each with `at` (Unix time), `reason` and what it
    was."""
    try:
        lines = folder.refused.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [_refusal(line) for line in lines]


def forget_refused(folder: RunFolder) -> bool:
    """Delete the list of what was refused, and the folder when it was kept for it alone; False, and nothing
    done, while a living process delivers the run."""
    lock = folder.open_lock()
    if lock is None:
        return False
    try:
        if _is_kept_for_refused(folder):
            done = folder.path.with_name(f".done-{folder.path.name}")
            folder.path.rename(done)
            (done / folder.refused.name).unlink(missing_ok=True)
            if RunFolder(done).segments():  # a forked child has begun one this moment
                done.rename(folder.path)
            else:
                shutil.rmtree(done, ignore_errors=True)
        else:
            folder.refused.unlink(missing_ok=True)
    finally:
        os.close(lock)
    return True


def projects(journals: Path) -> list[str]:
    """Names of the projects that have journals below `journals`, registered or not."""
    return sorted(path.name for path in _scan(journals) if any(folders(path)))


def _scan(journals: Path) -> Iterator[Path]:
    if journals.is_dir():
        yield from (path for path in journals.iterdir() if path.is_dir() and not path.name.startswith("."))


def _state(folder: RunFolder) -> PendingState:
    if is_held(folder):
        return PendingState.WRITING
    if _is_kept_for_refused(folder):
        return PendingState.REFUSED
    ended = folder.ended.exists() or _ends(folder)
    return PendingState.ENDED if ended else PendingState.KILLED


def _is_kept_for_refused(folder: RunFolder) -> bool:
    return folder.refused.exists() and folder.ended.exists() and not folder.segments()


def _ends(folder: RunFolder) -> bool:
    """Whether the run's end is the last thing that was recorded."""
    decoder, last = codec.Decoder(), None
    for segment in folder.segments()[-1:]:
        for payload, _ in records(segment):
            last = payload
    try:
        operation = decoder.decode(last) if last and last[0] == codec.JSON else None
    except ValueError:
        return False
    return (
        isinstance(operation, dict)
        and operation.get("op") == "status"
        and operation.get("status") != "RUNNING"
    )


def _kept(folder: RunFolder) -> list[int]:
    return [each.stat().st_size for each in folder.files.rglob("*") if each.is_file()]


def _refusal(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:  # its process was killed while it wrote the line
        found = None
    return found if isinstance(found, dict) else {"op": "unknown", "reason": line}
