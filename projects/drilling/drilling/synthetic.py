"""Synthetic Setitec logs with known key points, the same for the same seed.

A campaign is one head with its tools on one panel, drilling one recipe through one stack; no head,
tool or panel serves two campaigns. Beside the logs stand `truth.csv` and a `SYNTHETIC` marker.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from drilling.errors import FolderNotOurs, InvalidConfig
from drilling.physics import Layer, Stack, StepRun, Tip, drill
from drilling.progress import tracked
from drilling.recipes import Recipe, choose_recipe, run_recipe
from drilling.setitec.writer import LogContent, encode_log, program_row

MARKER, TRUTH = "SYNTHETIC", "truth.csv"
_GENERATOR = 1
_HOLES_PER_CAMPAIGN = 5
_FIRST_DAY = datetime(2025, 3, 3, 6)
NOTE = "SYNTHETIC DATA"


@dataclass(frozen=True, slots=True)
class Campaign:
    """What the holes of one panel share."""

    number: int
    version: int
    recipe: Recipe
    tip: Tip
    entry_mm: float
    soft_mm: float
    hard_mm: float
    soft_torque_a: float
    hard_torque_a: float
    soft_thrust_a: float
    hard_thrust_a: float
    air_noise_a: float

    @property
    def head(self) -> str:
        """The drilling head's name."""
        return f"HD{self.number:03d}"

    @property
    def panel(self) -> str:
        """The panel's name."""
        return f"PANEL-{self.number:03d}"


@dataclass(frozen=True, slots=True)
class SyntheticHole:
    """A log's bytes under its file name, with the truth about it."""

    file: str
    content: bytes
    truth: dict[str, float | str | int | bool]


def write_folder(folder: Path, *, holes: int = 160, seed: int = 7, progress: bool = True) -> bool:
    """Write `holes` logs, `truth.csv` and the marker; False where the same ones are there already.

    Logs of an earlier call are replaced. Raises FolderNotOurs where other files stand in the folder.
    """
    marker: dict[str, object] = {"synthetic": True, "generator": _GENERATOR, "holes": holes, "seed": seed}
    if _is_written(folder, marker):
        return False
    _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(json.dumps(marker) + "\n")
    truths = []
    for number in tracked(range(holes), "Writing synthetic logs", holes, shown=progress):
        hole = make_hole(number, holes=holes, seed=seed)
        (folder / hole.file).write_bytes(hole.content)
        truths.append(hole.truth)
    pl.DataFrame(truths).write_csv(folder / TRUTH, float_precision=4)
    return True


def make_hole(number: int, *, holes: int, seed: int) -> SyntheticHole:
    """The hole of that number of a set. Raises InvalidConfig where the set has no such hole."""
    if not 0 <= number < holes:
        raise InvalidConfig("make_hole", f"hole {number} of a set of {holes}")
    campaign = _campaign(number // _HOLES_PER_CAMPAIGN, seed)
    rng = np.random.default_rng([seed, 1, number])
    age = (
        1
        + number % _HOLES_PER_CAMPAIGN
        + int(np.random.default_rng([seed, 2, campaign.number]).integers(0, 60))
    )
    stack, points = _stack(campaign, age, rng)
    steps = run_recipe(campaign.recipe, points, campaign.tip, rng)
    signals = drill(stack, rng.uniform(0.5, 0.9), steps, rng)
    tag = f"TAG{campaign.number:03d}{'AB'[number % 2]}"
    counters = (1200 + number, age)
    content = LogContent(
        version=campaign.version,
        recorded_at=_FIRST_DAY + timedelta(days=campaign.number, minutes=4 * number),
        box_serial=f"SN{campaign.number:05d}",
        motor_type="L_EDU",
        pset=1,
        max_stroke_mm=60.0,
        motor_serial=f"M{campaign.number:04d}",
        head_name=campaign.head,
        tag=tag,
        counters=counters,
        customer_info=NOTE,
        program=_program(campaign.version, steps),
        results=_results(campaign.version, signals, rng),
        step_results=[_step_result(step, signals) for step in steps],
        signals=signals,
    )
    file = f"{tag}_{campaign.head}_ST_{counters[0]}_{counters[1]}.xls"
    groups = {"tool": tag, "head": campaign.head, "panel": campaign.panel}
    about = {"family": campaign.recipe.family, "version": campaign.version, "synthetic": True}
    return SyntheticHole(file, encode_log(content), {"file": file, **points, **groups, **about})


def _campaign(number: int, seed: int) -> Campaign:
    rng = np.random.default_rng([seed, 0, number])
    length = rng.uniform(1.4, 2.5)
    return Campaign(
        number=number,
        version=9 if number % 6 == 4 else 4,
        recipe=choose_recipe(rng),
        tip=Tip(length, length * rng.uniform(1.05, 1.3), rng.uniform(1.0, 1.3)),
        entry_mm=rng.uniform(1.8, 4.0),
        soft_mm=rng.uniform(4.0, 8.0),
        hard_mm=rng.uniform(3.2, 5.5),
        soft_torque_a=rng.uniform(3.5, 6.0),
        hard_torque_a=rng.uniform(10.0, 15.0),
        soft_thrust_a=rng.uniform(0.12, 0.26),
        hard_thrust_a=rng.uniform(0.55, 0.95),
        air_noise_a=rng.uniform(0.02, 0.06),
    )


def _stack(campaign: Campaign, age: int, rng: np.random.Generator) -> tuple[Stack, dict[str, float]]:
    entry = campaign.entry_mm + rng.normal(0, 0.25)
    transition = entry + campaign.soft_mm + rng.normal(0, 0.08)
    leave = transition + campaign.hard_mm + rng.normal(0, 0.06)
    worn = 1 + 0.004 * age
    soft = Layer(
        entry,
        transition,
        campaign.soft_torque_a * worn,
        campaign.soft_thrust_a * worn,
        rng.uniform(0.02, 0.06),
        0.7,
    )
    hard = Layer(
        transition,
        leave,
        campaign.hard_torque_a * worn,
        campaign.hard_thrust_a * worn,
        rng.uniform(0.13, 0.6),
        0.3,
    )
    stack = Stack((soft, hard), campaign.tip, campaign.air_noise_a)
    return stack, {"entry_mm": entry, "transition_mm": transition, "exit_mm": leave}


def _program(version: int, steps: tuple[StepRun, ...]) -> list[dict[str, float | str]]:
    """A row per recipe step from 0 on; those that the recipe leaves out are off."""
    ran = {step.number: step for step in steps}
    return [_program_row(version, number, ran.get(number)) for number in range(max(ran) + 1)]


def _program_row(version: int, number: int, step: StepRun | None) -> dict[str, float | str]:
    if step is None:
        return program_row(version, step_nb=float(number), feed_mm_rev=float("inf"), material="")
    return program_row(
        version,
        step_nb=float(number),
        step_on_off=1.0,
        stroke_mm=round(step.end_mm, 1),
        rpm=round(step.rpm),
        feed_mm_s=step.feed_mm_s,
        feed_mm_rev=step.feed_mm_rev,
        thrust_limit_a=10.0,
        torque_limit_a=70.0,
        material="",
    )


def _results(version: int, signals: pl.DataFrame, rng: np.random.Generator) -> dict[str, float | str]:
    position = signals["position_mm"]
    # Version 9 reports the first row's position: a fault of the units that readers must know.
    distance = position[-1] + rng.uniform(-0.06, 0.06) if version == 4 else position[0]
    cycle_time = signals.height / 100 * rng.choice([1.2, 1.46, 1.7])
    results: dict[str, float | str] = {"Cycle Time (s)": float(cycle_time), "Distance (mm)": float(distance)}
    return results if version < 7 else results | {"Cycle OK": "True"}


def _step_result(step: StepRun, signals: pl.DataFrame) -> dict[str, float]:
    rows = signals.filter(pl.col("step") == step.number)
    peaks = rows.select(
        (pl.col("torque_a") + pl.col("torque_empty_a")).max(),
        (pl.col("thrust_a") + pl.col("thrust_empty_a")).max(),
        pl.col("torque_empty_a").first().alias("m1"),
        pl.col("thrust_empty_a").first().alias("m2"),
    ).row(0)
    distance = float(rows["position_mm"][-1] - rows["position_mm"][0])
    return {
        "Step Number": float(step.number),
        "Stop Code": float(step.stop_code),
        "Duration (s)": rows.height / 100,
        "Distance M1": distance,
        "Distance M2": distance,
        "M1 Max Amp": peaks[0],
        "M2 Max Amp": peaks[1],
        "M1 No Load Amp": peaks[2],
        "M2 No Load Amp": peaks[3],
        "Gap Max (mm)": 0.0,
    }


def _is_written(folder: Path, marker: dict[str, object]) -> bool:
    try:
        written = json.loads((folder / MARKER).read_text())
        files = pl.read_csv(folder / TRUTH)["file"].to_list()
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
