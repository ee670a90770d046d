"""The holes that confidences are calibrated on: synthetic ones, most of them made worse than any recipe.

`python -m drilling.labeling.calibration_set` writes `confidence.json` anew. Half of the logs get a drift
of the torque of up to 20 % of its level, spikes, and noise, so that scores reach from sure to hopeless.
"""

from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.signal import lfilter

from drilling.labeling.calibration import Calibration, worst_error_mm
from drilling.labeling.combined import scored_keypoints
from drilling.labeling.confidence import CALIBRATION
from drilling.labeling.keypoints import KEY_POINTS
from drilling.progress import tracked
from drilling.setitec import SetitecLog, read_log
from drilling.synthetic import make_hole

Floats = NDArray[np.float64]
HOLES, SEED = 800, 2025
TOLERANCE_MM = 0.1
_MOST_DRIFT, _MOST_SPIKES, _MOST_NOISE = 0.2, 0.006, 0.15


def holes(count: int, seed: int) -> Iterator[tuple[SetitecLog, Floats]]:
    """Logs and their true key points in mm (3,), NaN where the tool did not get so far."""
    for number in range(count):
        hole = make_hole(number, holes=count, seed=seed)
        truth = np.array([hole.truth[name] for name in KEY_POINTS], dtype=np.float64)
        log = read_log(hole.content)
        yield (worsened(log, np.random.default_rng([seed, 9, number])) if number % 2 else log), truth


def worsened(log: SetitecLog, rng: np.random.Generator) -> SetitecLog:
    """A log whose torque and thrust drift, spike and are noisier, by amounts drawn for the hole."""
    amount = rng.random()
    rows = log.signals.height
    columns = []
    for name in ("torque_a", "thrust_a"):
        values = log.signals[name].to_numpy()
        walk = lfilter([1.0], [1.0, -0.998], rng.normal(0, 1, rows))
        drift = _MOST_DRIFT * amount * walk / max(float(walk.std()), 1e-9)
        spikes = (rng.random(rows) < _MOST_SPIKES * amount) * rng.exponential(0.5, rows)
        noise = rng.normal(0, _MOST_NOISE * amount, rows)
        columns.append(pl.Series(name, values * (1 + drift + spikes + noise)))
    return replace(log, signals=log.signals.with_columns(columns))


def fit_calibration(count: int = HOLES, seed: int = SEED, *, progress: bool = False) -> Calibration:
    """The calibration of that many holes, the same for the same seed."""
    raw, found, true = [], [], []
    for log, truth in tracked(holes(count, seed), "Calibrating", count, shown=progress):
        points, score = scored_keypoints(log)
        if np.isfinite(truth).all():
            raw.append(score)
            found.append(points.as_array())
            true.append(truth)
    return Calibration.fit(np.array(raw), worst_error_mm(np.array(found), np.array(true)), TOLERANCE_MM)


def main() -> None:
    """Write the package's calibration."""
    target = Path(str(files("drilling.labeling") / CALIBRATION))
    target.write_text(fit_calibration(progress=True).to_json() + "\n")


if __name__ == "__main__":
    main()
