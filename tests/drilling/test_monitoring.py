"""Features of holes for drift reports, on synthetic arrays and synthetic recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drilling.depth_grid import CHANNELS, grid_of, hole_windows
from drilling.monitoring import features
from drilling.setitec import read_log
from drilling.setitec.folder import log_paths
from drilling.windows import FeatureTable
from mlops.monitoring.base import DriftSettings
from mlops.monitoring.judging import judge
from mlops.monitoring.sample import Sample
from mlops.project import read_project

ENTRY, TRANSITION, LEAVE = 4.0, 9.0, 15.0


def synthetic_hole(rng: np.random.Generator, wear: float = 1.0, feed: float = 5.0) -> FeatureTable:
    """A hole in two layers; `wear` multiplies what a blunt tool needs more of."""
    depth = np.arange(1.0, 18.0, 0.02) + 0.01
    upper, lower = (depth >= ENTRY) & (depth < TRANSITION), (depth >= TRANSITION) & (depth < LEAVE)
    scatter = rng.normal(1, 0.05)
    values = np.zeros((depth.size, len(CHANNELS)))
    values[:, 0] = 1.0 + wear * scatter * (2.0 * upper + 4.0 * lower) + rng.normal(0, 0.05, depth.size)
    force = (feed / 5.0) ** 0.7 * wear * scatter
    values[:, 1] = force * (0.5 * upper + 1.0 * lower) + rng.normal(0, 0.01, depth.size)
    values[:, 2] = np.log1p(feed)
    return FeatureTable(values.astype(np.float32), CHANNELS, np.arange(depth.size), depth)


def arrays(holes: list[FeatureTable], transition: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    count = len(holes)
    outputs = {
        "keypoints_mm": np.tile([ENTRY, TRANSITION, LEAVE], (count, 1)).astype(np.float32),
        "uncertainty_mm": np.full((count, 3), 0.1, np.float32),
        "presence": np.tile([0.99, 0.98 if transition else 0.1, 0.97], (count, 1)).astype(np.float32),
    }
    return hole_windows(holes).as_dict(), outputs


def sample(count: int, seed: int, wear: float) -> Sample:
    rng = np.random.default_rng(seed)
    made = features(*arrays([synthetic_hole(rng, wear) for _ in range(count)]))
    return Sample.of(made["inputs"], made["outputs"])


def test_levels_extents_and_durations_are_those_of_the_phases() -> None:
    made = features(*arrays([synthetic_hole(np.random.default_rng(0), feed=5.0)]))
    got = {name: float(values[0]) for name, values in made["inputs"].items()}
    assert got["upper_mm"] == pytest.approx(5)
    assert got["lower_mm"] == pytest.approx(6)
    assert got["approach_mm"] == pytest.approx(3, abs=0.03)
    assert got["upper_s"] == pytest.approx(1, rel=0.01)
    assert got["lower_s"] == pytest.approx(6 / 5, rel=0.01)
    assert got["upper_torque_a"] == pytest.approx(3, rel=0.1)
    assert got["lower_thrust_a"] == pytest.approx(1, rel=0.15)
    assert made["outputs"]["exit_presence"] == pytest.approx([0.97])
    assert made["outputs"]["entry_uncertainty_mm"] == pytest.approx([0.1])


def test_a_hole_without_a_transition_has_one_layer() -> None:
    made = features(*arrays([synthetic_hole(np.random.default_rng(0))], transition=False))
    assert made["inputs"]["upper_mm"] == pytest.approx([11])
    for name in ("lower_mm", "lower_s", "lower_torque_a", "lower_thrust_a"):
        assert np.isnan(made["inputs"][name]).all()
    assert np.isnan(made["outputs"]["transition_mm"]).all()
    assert np.isnan(made["outputs"]["transition_uncertainty_mm"]).all()
    assert np.isfinite(made["inputs"]["wear"]).all()


def test_wear_rises_with_a_blunt_tool_and_not_with_the_feed() -> None:
    tools = [(1.0, 5.0), (1.5, 5.0), (1.0, 10.0)]
    holes = [synthetic_hole(np.random.default_rng(0), *tool) for tool in tools]
    sound, worn, fast = features(*arrays(holes))["inputs"]["wear"]
    assert worn / sound == pytest.approx(1.5, rel=0.02)
    assert fast / sound == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(("wear", "found"), [(1.0, False), (1.3, True)])
def test_a_drift_report_finds_worn_tools_alone(wear: float, found: bool) -> None:
    rows = judge(sample(300, 1, 1.0), sample(150, 2, wear), DriftSettings()).columns
    assert any(row.drifted for row in rows if row.column == "wear") is found
    if not found:
        assert [row.column for row in rows if row.drifted] == []


def test_recordings_give_numbers_and_no_holes_give_none(synthetic_folder: Path) -> None:
    grids = [grid_of(read_log(path)) for path in log_paths(synthetic_folder)[:5]]
    made = features(*arrays(grids))
    assert {values.shape for side in made.values() for values in side.values()} == {(5,)}
    assert np.isfinite(made["inputs"]["approach_s"]).any()
    inputs, outputs = arrays(grids)
    none = [{name: values[:0] for name, values in side.items()} for side in (inputs, outputs)]
    assert features(*none)["inputs"] == {}


def test_the_project_declares_it() -> None:
    declared = read_project(Path(__file__).parents[2] / "projects" / "drilling").monitoring.features
    for model in ("keypoints", "keypoints-ensemble"):
        assert declared[model] == f"{features.__module__}:{features.__name__}"
