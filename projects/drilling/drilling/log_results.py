"""What a generated log tells around its samples: the recipe's program and the results."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from drilling.physics import StepRun
from drilling.setitec.writer import program_row

# Cycle time over the time that rows tell, at these shares of genuine logs.
_CYCLE_SHARES, _CYCLE_RATIOS = (0.0, 0.05, 0.5, 0.95, 1.0), (1.10, 1.14, 1.46, 1.81, 1.95)


def program(version: int, steps: Sequence[StepRun], *, lubricated: bool) -> list[dict[str, float | str]]:
    """A row per recipe step from 0 on; those that the recipe leaves out are off."""
    ran = {step.number: step for step in steps}
    return [
        _program_row(version, number, ran.get(number), lubricated=lubricated)
        for number in range(max(ran) + 1)
    ]


def _program_row(
    version: int, number: int, step: StepRun | None, *, lubricated: bool
) -> dict[str, float | str]:
    if step is None:
        return program_row(version, step_nb=float(number), feed_mm_rev=float("inf"), material="")
    return program_row(
        version,
        step_nb=float(number),
        step_on_off=1.0,
        stroke_mm=round(step.end_mm + (0.0 if step.stop_code in (64, 8192) else 2.0), 1),
        rpm=round(step.rpm),
        feed_mm_s=step.feed_mm_s,
        feed_mm_rev=step.feed_mm_rev,
        thrust_limit_a=10.0,
        torque_limit_a=70.0,
        lub_flow=1.0 if lubricated else 0.0,
        material="",
    )


def results(
    version: int, signals: pl.DataFrame, rng: np.random.Generator, *, waited: float, ok: bool
) -> dict[str, float | str]:
    """What the unit sums up: the cycle's time, its distance and whether it went as planned.

    `waited`, 0 to 1, is the place of its time beside the samples among those of genuine logs.
    """
    position = signals["position_mm"]
    distance = {
        4: position[-1] + rng.uniform(-0.06, 0.06),
        # Version 9 reports the first row's position: a fault of the units that readers must know.
        9: position[0] if rng.random() < 0.97 else position[-1],
    }.get(version, position[-1])
    cycle_time = signals.height / 100 * float(np.interp(waited, _CYCLE_SHARES, _CYCLE_RATIOS))
    summed: dict[str, float | str] = {"Cycle Time (s)": cycle_time, "Distance (mm)": float(distance)}
    if version >= 7:
        summed["Cycle OK"] = "True" if ok else "False"
    return summed if version < 11 else summed | {"Consumption Wh": cycle_time * 0.05}


def step_result(step: StepRun, signals: pl.DataFrame) -> dict[str, float]:
    """A step's row in the section that version 7 and later ones add."""
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
