"""Hardware: what this machine is and does now, and what the runs of each project took."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.dashboard.frame import Page, Region, Scope
from mlops.hardware.meter import MachineReading
from mlops.platform import Platform


@dataclass(frozen=True, slots=True)
class Energy:
    """What the runs of a project took."""

    project: str
    joules: float


def hardware_page(platform: Platform) -> Page:
    """`/hardware`."""

    def machine(scope: Scope) -> MachineReading | None:
        return platform.machine()

    def energy(scope: Scope) -> tuple[Energy, ...]:
        found = [
            Energy(name, joules)
            for name, joules in platform.energy().items()
            if scope.project in (None, name)
        ]
        return tuple(sorted(found, key=lambda each: -each.joules))

    return Page(
        path="/hardware",
        title="Hardware",
        template="hardware.html",
        icon="hardware",
        regions={
            "machine": Region(machine, every_s=5),
            "energy": Region(energy, ("runs",)),
        },
    )
