from __future__ import annotations

import pytest

from mlops.hardware.base import CpuLevel
from mlops.hardware.levels import as_levels

M4_MAX = (CpuLevel("Performance", 12), CpuLevel("Efficiency", 4))
CLUSTERS = (
    CpuLevel("E-Cluster", 4, 0.2, 1150.0),
    CpuLevel("P0-Cluster", 6, 0.5, 3500.0),
    CpuLevel("P1-Cluster", 6, 0.0, 1260.0),
)


def test_clusters_of_a_kind_are_one_level_and_a_parked_one_has_no_say_in_the_frequency() -> None:
    assert as_levels(CLUSTERS, M4_MAX) == (
        CpuLevel("Performance", 12, 0.25, 3500.0),
        CpuLevel("Efficiency", 4, 0.2, 1150.0),
    )


def test_kinds_are_told_by_their_cores_and_not_by_their_initials() -> None:
    m5_max = (CpuLevel("Super", 6), CpuLevel("Performance", 12))
    clusters = (
        CpuLevel("M0-Cluster", 6, 0.1, 1000.0),
        CpuLevel("M1-Cluster", 6, 0.3, 1000.0),
        CpuLevel("P-Cluster", 6, 0.9, 4000.0),
    )

    levels = as_levels(clusters, m5_max)

    assert [(level.name, level.cores) for level in levels] == [("Super", 6), ("Performance", 12)]
    assert [level.active_ratio for level in levels] == [pytest.approx(0.9), pytest.approx(0.2)]


def test_levels_with_as_many_cores_are_told_by_their_initials() -> None:
    m1 = (CpuLevel("Performance", 4), CpuLevel("Efficiency", 4))
    clusters = (CpuLevel("E-Cluster", 4, 0.1, 900.0), CpuLevel("P-Cluster", 4, 0.8, 3000.0))

    assert [level.active_ratio for level in as_levels(clusters, m1)] == [0.8, 0.1]


def test_three_levels() -> None:
    topology = (CpuLevel("Super", 2), CpuLevel("Performance", 4), CpuLevel("Efficiency", 6))
    clusters = tuple(
        CpuLevel(f"{name}-Cluster", n, 0.5, 1000.0) for name, n in (("E", 6), ("M", 4), ("P", 2))
    )

    assert [level.name for level in as_levels(clusters, topology)] == ["Super", "Performance", "Efficiency"]


@pytest.mark.parametrize(
    "topology",
    [
        None,
        (),
        (CpuLevel("Performance", 10), CpuLevel("Efficiency", 4)),
        (CpuLevel("One", 6), CpuLevel("Other", 6)),
    ],
    ids=["unknown", "empty", "other counts", "ambiguous"],
)
def test_clusters_stay_as_they_are_where_nothing_tells_which_is_which(
    topology: tuple[CpuLevel, ...] | None,
) -> None:
    assert as_levels(CLUSTERS, topology) == CLUSTERS


def test_a_level_with_an_unreadable_cluster_has_no_activity() -> None:
    clusters = (CLUSTERS[0], CpuLevel("P0-Cluster", 6, None, 3500.0), CLUSTERS[2])

    assert as_levels(clusters, M4_MAX)[0] == CpuLevel("Performance", 12)


def test_a_level_that_no_cluster_stands_for_keeps_its_cores() -> None:
    assert as_levels(CLUSTERS[1:], M4_MAX) == (CpuLevel("Performance", 12, 0.25, 3500.0), M4_MAX[1])
