"""Clusters, as powermetrics names them, as the performance levels of the chip."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlops.hardware.base import CpuLevel


def as_levels(clusters: Iterable[CpuLevel], topology: tuple[CpuLevel, ...] | None) -> tuple[CpuLevel, ...]:
    """The clusters gathered into `topology` (name and cores of each level, fastest first); as they are where
    that is unknown, or does not tell which is which.

    Clusters of one kind differ by a number (`P0-Cluster`, `P1-Cluster`). A kind is the level with as many
    cores, since initials mislead: the M clusters of an M5 Max are its level `Performance`. Where two levels
    have as many, their initials decide.
    """
    clusters = tuple(clusters)
    kinds: dict[str, list[CpuLevel]] = {}
    for cluster in clusters:
        kinds.setdefault(re.sub(r"\d+", "", cluster.name), []).append(cluster)
    gathered = [_joined(name, members) for name, members in kinds.items()]
    levels = [_level_of(kind, gathered, topology or ()) for kind in gathered]
    named = [level.name for level in levels if level is not None]
    if not topology or len(set(named)) != len(gathered):
        return clusters
    found = {level.name: kind for level, kind in zip(levels, gathered, strict=True) if level is not None}
    return tuple(
        CpuLevel(level.name, level.cores, known.active_ratio, known.frequency_mhz)
        if (known := found.get(level.name))
        else level
        for level in topology
    )


def _level_of(kind: CpuLevel, kinds: list[CpuLevel], topology: tuple[CpuLevel, ...]) -> CpuLevel | None:
    fitting = [level for level in topology if level.cores == kind.cores]
    if len(fitting) > 1 or sum(other.cores == kind.cores for other in kinds) > 1:
        fitting = [level for level in fitting if level.name[:1].lower() == kind.name[:1].lower()]
    return fitting[0] if len(fitting) == 1 else None


def _joined(name: str, members: list[CpuLevel]) -> CpuLevel:
    """Activity is the mean over the cores; frequency the mean over the time in which a core was active, since
    a parked cluster's frequency means nothing."""
    cores = sum(member.cores for member in members)
    ratios = [member.active_ratio for member in members]
    if cores == 0 or any(ratio is None for ratio in ratios):
        return CpuLevel(name, cores)
    weights = [(member.active_ratio or 0.0) * member.cores for member in members]
    active = sum(weights)
    frequencies = [member.frequency_mhz for member in members]
    known = active > 0 and all(each is not None for each in frequencies)
    frequency = (
        sum(w * (f or 0.0) for w, f in zip(weights, frequencies, strict=True)) / active if known else None
    )
    return CpuLevel(name, cores, active / cores, frequency)
