"""Confidence that means what it says: the share of holes whose key points are within a tolerance."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from drilling.errors import DrillingError

TOLERANCE_MM = 0.2
LEAST_HOLES = 20
"""Fewer holes say nothing about a probability."""

Floats = NDArray[np.float64]
_FORMAT = "drilling calibration"


class InvalidCalibration(DrillingError):
    """Scores, errors or knots that no calibration can be made of."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(
            f"no calibration: {name} {problem}",
            remedy="Give a score from 0 to 1 and the worst key point's error in mm for each hole.",
            name=name,
            problem=problem,
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map from a raw score to the probability that a hole's worst key point is within `tolerance_mm`.

    `raw` and `probability` are its knots: both in 0 to 1, `raw` growing and `probability` never
    falling, linear between and level beyond. `holes` is how many it was fitted to. Raises
    InvalidCalibration for other knots.
    """

    raw: tuple[float, ...]
    probability: tuple[float, ...]
    tolerance_mm: float
    holes: int

    def __post_init__(self) -> None:
        _scores("raw", self.raw)
        _scores("probability", self.probability)
        _tolerance(self.tolerance_mm)
        if not self.raw or len(self.raw) != len(self.probability):
            raise InvalidCalibration("knots", "are none, or not as many scores as probabilities")
        if (np.diff(self.raw) <= 0).any() or (np.diff(self.probability) < 0).any():
            raise InvalidCalibration("knots", "do not grow")

    @classmethod
    def fit(cls, raw: ArrayLike, errors_mm: ArrayLike, tolerance_mm: float = TOLERANCE_MM) -> "Calibration":
        """Isotonic regression of `error < tolerance` on the raw score.

        `raw` (n,) is in 0 to 1, `errors_mm` (n,) the worst key point's error, inf where one was
        missed (see `worst_error_mm`). No probability comes nearer to 0 or 1 than 1 / (n + 2), since n
        holes cannot prove certainty. Use other holes than those that the method was tuned on. Raises
        InvalidCalibration for fewer than LEAST_HOLES.
        """
        from sklearn.isotonic import IsotonicRegression

        scores, errors = _pairs(raw, errors_mm, tolerance_mm)
        if scores.size < LEAST_HOLES:
            raise InvalidCalibration("holes", f"are {scores.size}, fewer than {LEAST_HOLES}")
        margin = 1 / (scores.size + 2)
        regression = IsotonicRegression(y_min=margin, y_max=1 - margin, increasing=True)
        shares = regression.fit_transform(scores, (errors < tolerance_mm).astype(np.float64))
        # A knot in the middle of each level: steps would give one confidence to holes of many scores.
        levels, places = np.unique(shares, return_inverse=True)
        middles = np.bincount(places, scores) / np.bincount(places)
        return cls(tuple(middles.tolist()), tuple(levels.tolist()), float(tolerance_mm), scores.size)

    def apply(self, raw: ArrayLike) -> Floats:
        """The probabilities of raw scores in 0 to 1, in their shape. Raises InvalidCalibration."""
        return np.asarray(np.interp(_scores("raw", raw), self.raw, self.probability), dtype=np.float64)

    def to_json(self) -> str:
        """The knots as JSON."""
        names = ("raw", "probability", "tolerance_mm", "holes")
        return json.dumps({"format": _FORMAT, **{name: getattr(self, name) for name in names}})

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """What `to_json` gave. Raises InvalidCalibration."""
        try:
            values: Any = json.loads(text)
            if values["format"] != _FORMAT:
                raise ValueError("its format is another")
            raw, probability = (tuple(map(float, values[name])) for name in ("raw", "probability"))
            calibration = cls(raw, probability, float(values["tolerance_mm"]), int(values["holes"]))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise InvalidCalibration("the text", f"is none: {error}") from error
        return calibration


def worst_error_mm(found_mm: ArrayLike, true_mm: ArrayLike) -> Floats:
    """The largest |found - true| of each hole, both (n, 3) in mm -> (n,).

    A true key point that is NaN does not count; one that is known but was not found (NaN) is inf.
    A hole without any true key point is NaN. Raises InvalidCalibration for other shapes.
    """
    found, true = np.asarray(found_mm, dtype=np.float64), np.asarray(true_mm, dtype=np.float64)
    if found.ndim != 2 or found.shape != true.shape or found.shape[1] == 0:
        raise InvalidCalibration("key points", f"have shapes {found.shape} and {true.shape}, not (n, 3) both")
    errors = np.where(np.isnan(found), np.inf, np.abs(found - true))
    worst: Floats = np.where(np.isnan(true), -np.inf, errors).max(axis=1)
    return np.where(np.isneginf(worst), np.nan, worst)


def reliability(
    confidence: ArrayLike, errors_mm: ArrayLike, tolerance_mm: float = TOLERANCE_MM, bins: int = 10
) -> pl.DataFrame:
    """Confidence against what came of it, in bins of equal width over 0 to 1.

    Columns: from, to (the last bin holds 1), holes, mean_confidence, share_within (error < tolerance),
    mean_error_mm (of the errors that are finite); null where a bin has nothing. `confidence` and
    `errors_mm` are (n,) as in `Calibration.fit`. Raises InvalidCalibration.
    """
    scores, errors = _pairs(confidence, errors_mm, tolerance_mm)
    if bins < 1:
        raise InvalidCalibration("bins", f"are {bins}, fewer than 1")
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)
    rows = [_bin(scores[place == at], errors[place == at], tolerance_mm) for at in range(bins)]
    names = ("mean_confidence", "share_within", "mean_error_mm")
    schema = {"holes": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.insert_column(0, pl.Series("from", edges[:-1])).insert_column(1, pl.Series("to", edges[1:]))


def expected_calibration_error(
    confidence: ArrayLike, errors_mm: ArrayLike, tolerance_mm: float = TOLERANCE_MM, bins: int = 10
) -> float:
    """The mean over holes of |share within - mean confidence| of their bin; 0 is best.

    Arguments as for `reliability`. Raises InvalidCalibration, also for no holes.
    """
    table = reliability(confidence, errors_mm, tolerance_mm, bins).filter(pl.col("holes") > 0)
    if table.is_empty():
        raise InvalidCalibration("holes", "are none")
    gap = np.abs(table["share_within"].to_numpy() - table["mean_confidence"].to_numpy())
    return float(np.average(gap, weights=table["holes"].to_numpy()))


def rank_correlation(confidence: ArrayLike, errors_mm: ArrayLike) -> float | None:
    """Spearman's correlation of confidence and error, (n,) both: -1 where it orders all holes rightly.

    None where there are fewer than two holes, or all have one confidence or one error. Raises
    InvalidCalibration.
    """
    scores, errors = _pairs(confidence, errors_mm, TOLERANCE_MM)
    first, second = (pl.Series(values).rank("average").to_numpy() for values in (scores, errors))
    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _bin(scores: Floats, errors: Floats, tolerance_mm: float) -> tuple[int, *tuple[float | None, ...]]:
    finite = errors[np.isfinite(errors)]
    means = (scores, (errors < tolerance_mm).astype(np.float64), finite)
    return (scores.size, *(float(values.mean()) if values.size else None for values in means))


def _pairs(scores: ArrayLike, errors_mm: ArrayLike, tolerance_mm: float) -> tuple[Floats, Floats]:
    _tolerance(tolerance_mm)
    known, errors = _scores("scores", scores), np.asarray(errors_mm, dtype=np.float64)
    if known.ndim != 1 or known.shape != errors.shape:
        raise InvalidCalibration("scores and errors", f"have shapes {known.shape} and {errors.shape}")
    if not (errors >= 0).all():
        raise InvalidCalibration("errors_mm", "holds a negative error or NaN; inf is a key point missed")
    return known, errors


def _scores(name: str, values: ArrayLike) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise InvalidCalibration(name, "holds a value that is not from 0 to 1")
    return scores


def _tolerance(tolerance_mm: float) -> None:
    if not 0 < tolerance_mm < float("inf"):
        raise InvalidCalibration("tolerance_mm", f"is {tolerance_mm:g}, not above 0")
