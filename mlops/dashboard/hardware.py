"""Hardware: this machine now, every machine that runs were logged from, and the energy they took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mlops.dashboard.frame import Page, Region, Scope
from mlops.hardware.fleet import Machine, RunOnMachine
from mlops.hardware.meter import MachineReading
from mlops.platform import Platform

WIDTH = 1000
"""Of a lane, in the units of its drawing."""
_LEAST = 3.0
"""A run's width: a short one shall be seen, too."""
_MOST_ROWS = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """A run in a lane; places and widths in the drawing's units."""

    of: RunOnMachine
    x: float
    width: float
    row: int
    """Runs at the same time are below each other."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A machine and its runs over time."""

    machine: Machine
    bars: tuple[Bar, ...]

    @property
    def rows(self) -> int:
        """How many rows of bars there are."""
        return max((bar.row for bar in self.bars), default=0) + 1


@dataclass(frozen=True, slots=True)
class Energy:
    """What the runs of a project took, in J."""

    project: str
    lately: float
    """Within the time that is looked at."""
    all: float


def hardware_page(platform: Platform) -> Page:
    """`/hardware`."""

    def machine(scope: Scope) -> MachineReading | None:
        return platform.machine()

    def lanes(scope: Scope) -> tuple[Lane, ...]:
        since = scope.since
        found = platform.fleet.machines(since, scope.project)
        return tuple(lane(each, since, datetime.now(UTC)) for each in found)

    def energy(scope: Scope) -> tuple[Energy, ...]:
        lately = platform.fleet.energy_j(scope.since)
        found = (
            Energy(name, lately.get(name, 0.0), joules)
            for name, joules in platform.fleet.energy_j().items()
            if scope.project in (None, name)
        )
        return tuple(sorted(found, key=lambda each: (-each.lately, -each.all)))

    return Page(
        path="/hardware",
        title="Hardware",
        template="hardware.html",
        icon="hardware",
        ranged=True,
        regions={
            "machine": Region(machine, every_s=5),
            "lanes": Region(lanes, ("runs",), every_s=30),
            "energy": Region(energy, ("runs",)),
        },
    )


def lane(machine: Machine, since: datetime, until: datetime) -> Lane:
    """The runs as bars between two times, in as few rows as hold them; the last row takes what is left."""
    scale = WIDTH / (until - since).total_seconds()
    bars: list[Bar] = []
    ends: list[float] = []
    for each in sorted(machine.runs, key=lambda each: each.run.started_at):
        begin = max(0.0, (each.run.started_at - since).total_seconds() * scale)
        end = ((each.run.ended_at or until) - since).total_seconds() * scale
        begin = min(begin, WIDTH - _LEAST)
        width = min(max(_LEAST, end - begin), WIDTH - begin)
        row = next((place for place, taken in enumerate(ends) if taken <= begin), len(ends))
        row = min(row, _MOST_ROWS - 1)
        ends[row : row + 1] = [begin + width]
        bars.append(Bar(each, round(begin, 1), round(width, 1), row))
    return Lane(machine, tuple(bars))
