"""The contract of what makes drift reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlops.entities import DriftJob, DriftReport
from mlops.errors import InvalidInput
from mlops.monitoring.sample import Sample


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """What counts as drift. Raises `InvalidInput` for a field that cannot be meant."""

    false_alarms: float = 0.002
    """Of windows without any shift, the share in which a row may drift all the same; of all rows together,
    whatever their number. Less of it takes more rows to find a shift."""
    least_effect: float = 0.05
    """Distributions that are closer than this have not drifted, however many rows there are. 0.05 is a mean
    that moved by an eighth of a standard deviation, or a category that went from 50 to 57 %."""
    least_rise: float = 0.002
    """Of the share of missing, unknown or outlying values: less is no drift, however many rows there are."""
    least_rows: int = 30
    """Values of a column, on each side, without which it is not judged."""

    def __post_init__(self) -> None:
        """Check each field."""
        if not 0 < self.false_alarms <= 0.5:
            raise InvalidInput(
                "false_alarms", self.false_alarms, "is not above 0 and at most 0.5", remedy="Use 0.002."
            )
        if not 0 <= self.least_effect < 1:
            raise InvalidInput(
                "least_effect", self.least_effect, "is not a distance below 1", remedy="Use 0.05."
            )
        if not 0 <= self.least_rise < 1:
            raise InvalidInput("least_rise", self.least_rise, "is not a share below 1", remedy="Use 0.002.")
        if self.least_rows < 2:
            raise InvalidInput("least_rows", self.least_rows, "is less than 2", remedy="Use 30.")


class Drawing(Protocol):
    """A report as people look at it. What is written is there whole, or not at all; both raise `OSError` when
    they cannot write."""

    def write_page(self, page: Path) -> None:
        """Write an HTML page."""

    def add_to(self, workspace: Path, job: DriftJob) -> None:
        """Add it to the folder of which the tool's own UI shows reports over time, as that of `job`."""


class DriftMonitor(Protocol):
    """Judges a window against a reference."""

    def report(self, reference: Sample, current: Sample, settings: DriftSettings) -> DriftReport:
        """Compare every column that either side has; the reference says its kind. The result has one row of
        the check `DISTRIBUTION` for each column, first those of the reference in its order, and further rows
        for its other checks.

        A row that cannot be judged has a reason, no score, and has not drifted; no column makes the report
        fail, and an empty window is a report. Whether and how much a column drifts depends on no other
        column's values, and not on the order of the rows.
        """

    def draw(self, reference: Sample, current: Sample, report: DriftReport) -> Drawing:
        """Draw what `report` said of the two, for people."""
