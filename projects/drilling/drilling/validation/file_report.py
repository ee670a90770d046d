"""The checks of one log."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drilling.setitec import SetitecLog
from drilling.validation import currents, cycle, motion, origin
from drilling.validation.finding import Finding, Severity
from drilling.validation.recording import Recording, open_recording

CHECKS: tuple[Callable[[Recording], Iterator[Finding]], ...] = (
    *cycle.CHECKS,
    *currents.CHECKS,
    *motion.CHECKS,
    *origin.CHECKS,
)


@dataclass(frozen=True, slots=True)
class FileReport:
    """What the checks found in one log, the gravest first.

    `rows` are those with a position, `depth_mm` is the deepest of them (None where there is none).
    """

    source: str
    findings: tuple[Finding, ...]
    rows: int
    duration_s: float
    depth_mm: float | None = None

    @property
    def worst(self) -> Severity | None:
        """The gravest severity, None where nothing was found."""
        return max((finding.severity for finding in self.findings), default=None)

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return self.worst is not Severity.ERROR

    def as_dict(self) -> dict[str, Any]:
        """The report, fit for JSON."""
        return {
            "source": self.source,
            "rows": self.rows,
            "duration_s": self.duration_s,
            "depth_mm": self.depth_mm,
            "passed": self.passed,
            "worst": self.worst.value if self.worst else None,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def validate_log(log: SetitecLog, now: datetime | None = None) -> FileReport:
    """Run every check of one log. `now` is what its date must not pass: the present, unless given."""
    return report_of(open_recording(log, now))


def report_of(recording: Recording) -> FileReport:
    """Run every check on a log that was taken apart for them."""
    rows = recording.position_mm.size
    return FileReport(
        source=recording.log.source,
        findings=gravest_first(finding for check in CHECKS for finding in check(recording)),
        rows=rows,
        duration_s=rows / recording.log.sample_rate_hz,
        depth_mm=float(recording.position_mm.max()) if rows else None,
    )


def gravest_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors before warnings before infos; else in the order given."""
    return tuple(sorted(findings, key=lambda finding: -finding.severity.rank))
