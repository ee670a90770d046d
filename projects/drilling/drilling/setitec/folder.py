"""Reading a folder of logs, past the files that hold none."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from time import perf_counter

from drilling.errors import LogUnreadable, NoLogs
from drilling.processes import cores, in_processes
from drilling.progress import say, tracked
from drilling.setitec.log import SetitecLog, read_log

_CHUNK = 40
_WHILE_STARTING = 300


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


@dataclass(slots=True)
class ReadingSummary:
    """What came of reading a folder; `problems` counts the files that have each kind of problem."""

    files: int
    read: int = 0
    rows: int = 0
    failures: list[LogFailure] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def sentence(self) -> str:
        """The summary for a person, in a line."""
        kinds = ", ".join(f"{kind} in {count}" for kind, count in self.problems.most_common(5))
        failed = f", {len(self.failures)} without a signal" if self.failures else ""
        return f"{self.read} of {self.files} logs read in {self.seconds:.1f} s ({self.rows} rows){failed}" + (
            f"; problems: {kinds}" if kinds else ""
        )


class LogStream:
    """The logs of a folder; many are read by several processes a little ahead of whoever takes them.

    Iterating gives each log in the order of the files' names and holds only a few at a time;
    `failures` fills up meanwhile, and `summary` says what came of it. Iterating again reads again.
    """

    def __init__(self, folder: Path, *, progress: bool = True) -> None:
        self.folder = folder
        self.paths = log_paths(folder)
        self.failures: list[LogFailure] = []
        self.summary = ReadingSummary(len(self.paths), failures=self.failures)
        self._progress = progress
        if not self.paths:
            raise NoLogs(folder)

    def __len__(self) -> int:
        """How many files there are to read."""
        return len(self.paths)

    def __iter__(self) -> Iterator[SetitecLog]:
        """Raises NoLogs at the end where not one file could be read."""
        self.failures.clear()
        self.summary = summary = ReadingSummary(len(self.paths), failures=self.failures)
        began = perf_counter()
        outcomes = tracked(_in_order(self.paths), "Reading logs", len(self.paths), shown=self._progress)
        for path, outcome in zip(self.paths, outcomes, strict=True):
            if isinstance(outcome, LogUnreadable):
                summary.failures.append(LogFailure(path, outcome))
                continue
            summary.read += 1
            summary.rows += outcome.signals.height
            summary.problems.update({problem.kind for problem in outcome.problems})
            summary.seconds = perf_counter() - began
            yield outcome
        if self._progress:
            say(summary.sentence())
        if not summary.read:
            raise NoLogs(self.folder, len(summary.failures))

    def collect(self) -> LogBatch:
        """All logs at once, by path. Raises NoLogs where not one could be read."""
        logs = {Path(log.source): log for log in self}
        return LogBatch(logs, tuple(self.failures))


def log_paths(folder: Path) -> list[Path]:
    """Every .xls file under a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".xls" and path.is_file())


def read_logs(folder: Path | str, *, progress: bool = True) -> LogStream:
    """Every .xls file under a folder as a stream of logs. Raises NoLogs where there is no such file."""
    return LogStream(Path(folder), progress=progress)


def _in_order(paths: list[Path]) -> Iterator[SetitecLog | LogUnreadable]:
    """Each file read, in order. Many files are shared with other processes, since threads would take turns
    at Python's lock; while those start, this one reads the first files.
    """
    workers = cores()
    alone = len(paths) if workers == 1 or len(paths) < 2 * _WHILE_STARTING else _WHILE_STARTING
    rest = in_processes(_read_or_fail, paths[alone:], _CHUNK, workers) if paths[alone:] else ()
    yield from map(_read_or_fail, paths[:alone])
    yield from chain.from_iterable(rest)


def _read_or_fail(path: Path) -> SetitecLog | LogUnreadable:
    try:
        return read_log(path)
    except LogUnreadable as error:
        return error
