"""Reading a folder of logs, past the files that hold none."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from drilling.errors import LogUnreadable, NoLogs
from drilling.progress import tracked
from drilling.setitec.log import SetitecLog, read_log


@dataclass(frozen=True, slots=True)
class LogFailure:
    """A file that holds no signal."""

    path: Path
    error: LogUnreadable


@dataclass(frozen=True, slots=True)
class LogBatch:
    """The logs of a folder by path, in the order of their names, and the files that failed."""

    logs: dict[Path, SetitecLog]
    failures: tuple[LogFailure, ...]


def log_paths(folder: Path) -> list[Path]:
    """Every .xls file under a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".xls" and path.is_file())


def read_logs(folder: Path | str, *, progress: bool = True) -> LogBatch:
    """Read every .xls file under a folder. Raises NoLogs where there is none to read."""
    folder = Path(folder)
    paths = log_paths(folder)
    if not paths:
        raise NoLogs(folder)
    logs: dict[Path, SetitecLog] = {}
    failures: list[LogFailure] = []
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        outcomes = pool.map(_read_or_fail, paths)
        pairs = zip(paths, outcomes, strict=True)
        for path, outcome in tracked(pairs, "Reading logs", len(paths), shown=progress):
            if isinstance(outcome, LogUnreadable):
                failures.append(LogFailure(path, outcome))
            else:
                logs[path] = outcome
    if not logs:
        raise NoLogs(folder, len(failures))
    return LogBatch(logs, tuple(failures))


def _read_or_fail(path: Path) -> SetitecLog | LogUnreadable:
    try:
        return read_log(path)
    except LogUnreadable as error:
        return error
