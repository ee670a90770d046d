"""Artifacts that lie in a run's journal, on their way to the server."""

from __future__ import annotations

import posixpath
from pathlib import Path

from mlflow.entities import FileInfo

from mlops.tracking.open_runs import OpenRun
from mlops.tracking.plugin.entities import journaled_operations


def journaled(run: OpenRun, model: str | None) -> dict[str, Path]:
    """The files of the run, or of its logged model, by their artifact path."""
    found: dict[str, Path] = {}
    for operation in journaled_operations(run):
        if operation["op"] == "file" and operation["model"] == model:
            kept = run.journal.folder.files / operation["kept"]
            root = kept / operation["name"] if operation["contents"] else kept
            for file in root.rglob("*"):
                if file.is_file():
                    found[posixpath.join(operation["below"], file.relative_to(root).as_posix())] = file
    return found


def listed(files: dict[str, Path], path: str | None) -> list[FileInfo]:
    """What is directly below `path`, as MLflow lists it."""
    start = f"{path}/" if path else ""
    entries: dict[str, FileInfo] = {}
    for name, file in files.items():
        if name.startswith(start):
            first, _, rest = name.removeprefix(start).partition("/")
            size = None if rest else file.stat().st_size
            entries[first] = FileInfo(start + first, bool(rest), size)
    return [entries[name] for name in sorted(entries)]
