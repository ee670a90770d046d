"""The checks of many logs, read one after another: of each only what the checks over all need is kept."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from drilling.setitec import SetitecLog
from drilling.validation import counters, wear
from drilling.validation.file_report import FileReport, gravest_first, report_of
from drilling.validation.finding import Finding, Severity
from drilling.validation.recording import open_recording
from drilling.validation.summary import HoleSummary, summary_of

BATCH_CHECKS: tuple[Callable[[Sequence[HoleSummary]], Iterator[tuple[int, Finding]]], ...] = (
    *counters.CHECKS,
    *wear.CHECKS,
)
_SCHEMA = {
    **dict.fromkeys(("file", "check", "severity", "sentence", "remedy"), pl.String),
    **dict.fromkeys(("first_row", "last_row"), pl.Int64),
    **dict.fromkeys(("value", "limit"), pl.Float64),
}


class Failure(Protocol):
    """A file that could not be read, as `drilling.setitec.LogFailure` is."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def error(self) -> Exception:
        """Why it could not be read."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What the checks found in many logs.

    `findings` are those of the checks over the batch, each with the source of its file, whose own
    report has it too. `counts` says for each check, the gravest first, in how many files it found
    something of each severity.
    """

    files: tuple[FileReport, ...]
    findings: tuple[tuple[str, Finding], ...]
    counts: Mapping[str, Mapping[str, int]]

    @property
    def passed(self) -> int:
        """How many files have no error."""
        return sum(report.passed for report in self.files)

    @property
    def worst(self) -> Severity | None:
        """The gravest severity of any file, None where nothing was found."""
        return max((report.worst for report in self.files if report.worst), default=None)

    def as_dict(self) -> dict[str, Any]:
        """The report, fit for JSON."""
        return {
            "files": len(self.files),
            "passed": self.passed,
            "worst": self.worst.value if self.worst else None,
            "counts": {check: dict(by_severity) for check, by_severity in self.counts.items()},
            "batch_findings": [{"source": source, **found.as_dict()} for source, found in self.findings],
            "reports": [report.as_dict() for report in self.files],
        }

    def as_table(self) -> pl.DataFrame:
        """A row for each finding of each file."""
        rows = [_row(report.source, finding) for report in self.files for finding in report.findings]
        return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def validate_batch(
    logs: Iterable[SetitecLog], failures: Sequence[Failure] = (), now: datetime | None = None
) -> BatchReport:
    """Run the checks of each log and those over all of them; a failure counts as a file with an error.

    The failures are looked at last, so that they may be gathered while the logs are read.
    """
    now = now or datetime.now()
    reports: list[FileReport] = []
    holes: list[HoleSummary] = []
    for log in logs:
        recording = open_recording(log, now)
        reports.append(report_of(recording))
        holes.append(summary_of(recording))
    placed = [found for check in BATCH_CHECKS for found in check(holes)]
    files = (*_with(reports, placed), *map(_unreadable, failures))
    findings = tuple((holes[place].source, finding) for place, finding in placed)
    return BatchReport(files, findings, _counts(files))


def _with(reports: Sequence[FileReport], placed: Iterable[tuple[int, Finding]]) -> list[FileReport]:
    """The reports with the findings over the batch added to their own."""
    added: dict[int, list[Finding]] = defaultdict(list)
    for place, finding in placed:
        added[place].append(finding)
    return [
        replace(report, findings=gravest_first([*report.findings, *added[place]]))
        if place in added
        else report
        for place, report in enumerate(reports)
    ]


def _unreadable(failure: Failure) -> FileReport:
    finding = Finding(
        "no_signal",
        Severity.ERROR,
        f"The file holds no signal: {str(failure.error).rstrip('.')}.",
        "Fetch the log again from the unit, or take the file out of the folder.",
    )
    return FileReport(str(failure.path), (finding,), 0, 0.0)


def _counts(files: Iterable[FileReport]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for report in files:
        for check, severity in {(finding.check, finding.severity.value) for finding in report.findings}:
            counts.setdefault(check, {level.value: 0 for level in Severity})[severity] += 1
    # From the last key on: errors weigh most, then warnings.
    return dict(sorted(counts.items(), key=lambda item: ([-n for n in reversed(item[1].values())], item[0])))


def _row(source: str, finding: Finding) -> tuple[str | int | float | None, ...]:
    first, last = finding.rows or (None, None)
    texts = (source, finding.check, finding.severity.value, finding.sentence, finding.remedy)
    return (*texts, first, last, finding.value, finding.limit)
