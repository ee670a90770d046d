"""Synthetic Setitec logs with known key points, the same for the same seed.

Beside the logs stand `truth.csv` (key points, groups and what is unusual about a hole) and a
`SYNTHETIC` marker. `labelled` in it says whose key points a model may be trained on.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from drilling.breakages import BREAKAGES, apply_breakage
from drilling.campaigns import (
    Campaign,
    hole_recipe,
    hole_stack,
    hole_version,
    holes_per_campaign,
    make_campaign,
    spread,
)
from drilling.errors import FolderNotOurs, InvalidConfig
from drilling.log_results import program, results, step_result
from drilling.physics import Stack, StepRun, drill
from drilling.progress import tracked
from drilling.recipes import HolePoints, Recipe, aborted, jammed, run_in_air, run_recipe
from drilling.setitec.writer import LogContent, encode_log

MARKER, TRUTH = "SYNTHETIC", "truth.csv"
NOTE = "SYNTHETIC DATA"
_GENERATOR = 4
_FIRST_DAY = datetime(2025, 3, 3, 6)
_IN_AIR, _ABORTED = 0.015, 0.030

Truth = dict[str, float | str | int | bool | None]


@dataclass(frozen=True, slots=True)
class SyntheticHole:
    """A log's bytes under its file name, with the truth about it."""

    file: str
    content: bytes
    truth: Truth


@dataclass(frozen=True, slots=True)
class _Run:
    """A hole's cycle as it ran: `cycle` is 'drilled', 'in air' or 'aborted'."""

    cycle: Literal["drilled", "in air", "aborted"]
    stack: Stack
    steps: tuple[StepRun, ...]
    points: HolePoints

    def reached(self, deepest_mm: float) -> dict[str, float | None]:
        """The true key points that the tool passed."""
        return self.points.reached(0.0 if self.cycle == "in air" else deepest_mm)


def write_folder(
    folder: Path,
    *,
    holes: int = 160,
    seed: int = 7,
    labelled: int | None = None,
    breakages: Sequence[str] = (),
    progress: bool = True,
) -> bool:
    """Write `holes` logs, `truth.csv` and the marker; False where the same ones are there already.

    The first `labelled` holes that were drilled through are marked so, all where it is None. Each of
    `breakages` damages one hole in ten. Logs of an earlier call are replaced. Raises FolderNotOurs
    where other files stand in the folder, InvalidConfig for an unknown breakage.
    """
    marker: dict[str, object] = {
        "synthetic": True, "generator": _GENERATOR, "holes": holes, "seed": seed, "labelled": labelled,
        "breakages": list(breakages),
    }  # fmt: skip
    if _is_written(folder, marker):
        return False
    plan = _breakage_plan(breakages, holes)
    _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(json.dumps(marker) + "\n")
    truths: list[Truth] = []
    left = holes if labelled is None else labelled
    for number in tracked(range(holes), "Writing synthetic logs", holes, shown=progress):
        hole = make_hole(number, holes=holes, seed=seed, breakage=plan.get(number))
        (folder / hole.file).write_bytes(hole.content)
        use = left > 0 and hole.truth["cycle"] == "drilled"
        left -= use
        truths.append({**hole.truth, "labelled": use})
    pl.DataFrame(truths, infer_schema_length=None).write_csv(folder / TRUTH, float_precision=4)
    return True


def make_hole(number: int, *, holes: int, seed: int, breakage: str | None = None) -> SyntheticHole:
    """The hole of that number of a set, damaged on request by one of `breakages.BREAKAGES`.

    Raises InvalidConfig where the set has no such hole or there is no such breakage.
    """
    if not 0 <= number < holes:
        raise InvalidConfig("make_hole", f"hole {number} of a set of {holes}")
    per_campaign = holes_per_campaign(holes)
    campaign = make_campaign(number // per_campaign, seed)
    within = number % per_campaign
    rng = np.random.default_rng([seed, 1, number])
    tool = within % 2
    age = campaign.first_age + within // 2
    recipe = hole_recipe(campaign, spread(number, seed, 1), seed)
    start = rng.uniform(0.5, 0.9)
    run = _run(campaign, recipe, spread(number, seed, 2), start, tool, age, rng)
    signals = drill(run.stack, start, run.steps, rng)
    version = hole_version(campaign, spread(number, seed, 3))
    counters = (1200 + number, age)
    content = LogContent(
        version=version,
        recorded_at=_FIRST_DAY + timedelta(days=campaign.number, minutes=4 * within),
        box_serial=f"SN{campaign.number:05d}",
        motor_type=("L_EDU", "M_EDU", "L-HS_EDU", "DCS_EDU")[campaign.number % 4],
        motor_serial=f"M{campaign.number:04d}",
        head_name=campaign.head,
        tag=campaign.tag(tool),
        counters=counters,
        customer_info=NOTE,
        pset=recipe.pset,
        program=program(version, run.steps, lubricated=campaign.lubricated),
        max_stroke_mm=round(run.steps[-1].end_mm + 2),
        results=results(version, signals, rng, waited=spread(number, seed, 4), ok=run.cycle != "aborted"),
        step_results=[step_result(step, signals) for step in run.steps],
        signals=signals,
        micropeck=(3.0, 10.0) if campaign.lubricated else (0.0, 0.0),
    )
    twice = "_1" if run.cycle == "in air" else ""
    file = f"{content.tag}_{campaign.head}_ST_{counters[0]}_{counters[1]}{twice}.xls"
    points = run.reached(float(signals["position_mm"].to_numpy().max()))
    truth: Truth = {
        "file": file, **points, "tool": content.tag, "head": campaign.head, "panel": campaign.panel,
        "family": recipe.family, "material": campaign.material, "pset": recipe.pset, "version": version,
        "age": age, "cycle": run.cycle, "breakage": breakage or "", "synthetic": True,
    }  # fmt: skip
    raw = encode_log(content)
    return SyntheticHole(file, apply_breakage(raw, breakage) if breakage else raw, truth)


def _run(
    campaign: Campaign,
    recipe: Recipe,
    place: float,
    start_mm: float,
    tool: int,
    age: int,
    rng: np.random.Generator,
) -> _Run:
    tip = campaign.tips[tool]
    stack, points = hole_stack(campaign, recipe, tip, age, rng)
    if place < _IN_AIR:
        empty = replace(stack, layers=())
        return _Run("in air", empty, run_in_air(recipe, start_mm, rng), points)
    steps = run_recipe(recipe, points, tip, rng)
    if place < _ABORTED:
        return _Run("aborted", stack, aborted(steps, start_mm, rng), points)
    return _Run("drilled", stack, jammed(steps, points, rng), points)


def _breakage_plan(breakages: Sequence[str], holes: int) -> dict[int, str]:
    """Which holes are damaged: one in ten for each breakage, at most all, in turn."""
    unknown = [name for name in breakages if name not in BREAKAGES]
    if unknown:
        raise InvalidConfig("breakage", f"{unknown[0]!r} is not one of: {', '.join(BREAKAGES)}")
    if not breakages:
        return {}
    damaged = range(0, holes, max(1, 10 // len(breakages)))
    return {number: breakages[place % len(breakages)] for place, number in enumerate(damaged)}


def _is_written(folder: Path, marker: dict[str, object]) -> bool:
    try:
        written = json.loads((folder / MARKER).read_text())
        files = pl.read_csv(folder / TRUTH, infer_schema_length=None)["file"].to_list()
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return False
    return bool(written == marker) and all((folder / file).is_file() for file in files)


def _clear(folder: Path) -> None:
    """Remove an earlier set. Files are unlinked, never overwritten: a data store may share their blocks."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MARKER).is_file():
        raise FolderNotOurs(folder)
    for path in folder.iterdir():
        if path.suffix == ".xls" or path.name in (TRUTH, MARKER):
            path.unlink()
