"""Checks of a folder of logs that is added as data: `[data.checks]` of project.toml names `check_folder`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from drilling.errors import LogUnreadable
from drilling.setitec import LogFailure, SetitecLog, read_log
from drilling.validation.batch import BatchReport, validate_batch
from drilling.validation.finding import Severity
from mlops import DataCheck

_MOST_NAMED = 5


def check_folder(path: Path) -> list[DataCheck]:
    """Whether any file can be read, and whether any hole is good; how many are not is in the details."""
    paths = _log_paths(path)
    failures: list[LogFailure] = []
    report = validate_batch(_logs(paths, failures), failures)
    return [_reading(paths, failures), _soundness(report, len(paths) - len(failures))]


def _log_paths(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix.lower() == ".xls" and file.is_file())


def _logs(paths: Sequence[Path], failures: list[LogFailure]) -> Iterator[SetitecLog]:
    """The logs one by one, so that only one is in memory; what fails is added to the failures."""
    for path in paths:
        try:
            yield read_log(path)
        except LogUnreadable as error:
            failures.append(LogFailure(path, error))


def _reading(paths: Sequence[Path], failures: Sequence[LogFailure]) -> DataCheck:
    read = len(paths) - len(failures)
    detail = f"{read} of {len(paths)} files read" if paths else "there is no .xls file"
    if failures:
        names = ", ".join(failure.path.name for failure in failures[:_MOST_NAMED])
        more = f" and {len(failures) - _MOST_NAMED} more" if len(failures) > _MOST_NAMED else ""
        detail += f"; no signal in {names}{more}"
    return DataCheck("logs can be read", read > 0, detail)


def _soundness(report: BatchReport, read: int) -> DataCheck:
    detail = f"{report.passed} of {read} holes without an error"
    for severity in (Severity.ERROR, Severity.WARNING):
        counts = {check: found[severity.value] for check, found in report.counts.items()}
        named = [f"{check} {count}" for check, count in counts.items() if count and check != "no_signal"]
        detail += f"; {severity.value}s: {', '.join(named)}" if named else ""
    return DataCheck("holes without an error", report.passed > 0, detail)
