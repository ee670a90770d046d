"""The answers of every method for every labelled hole, by models that had not seen it: one table."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drilling.answers import Answers
from drilling.dataset import Hole
from drilling.labeling import KEY_POINTS

Floats = NDArray[np.float64]
_COVERED = 0.9
POINTS = tuple(name.removesuffix("_mm") for name in KEY_POINTS)


def out_of_fold_table(
    holes: Sequence[Hole],
    fold: NDArray[np.int64],
    components: NDArray[np.int64],
    methods: Mapping[str, Answers],
) -> pl.DataFrame:
    """A row for each hole and method: file, method, fold, component, wear, recipe, stack, and for each key
    point `<point>_mm` (found), `<point>_label_mm`, `<point>_uncertainty_mm`, `<point>_presence`.

    Depths are null where there is none; `methods` are answers for the holes in their order.
    """
    about = pl.DataFrame(
        {
            "file": [hole.name for hole in holes],
            "fold": fold,
            "component": components,
            "wear": [hole.wear for hole in holes],
            "recipe": [hole.recipe for hole in holes],
            "stack": [hole.stack for hole in holes],
        }
    )
    labels = np.array([hole.label_mm for hole in holes])
    tables = []
    for method, answers in methods.items():
        columns = {}
        for place, point in enumerate(POINTS):
            columns[f"{point}_mm"] = answers.present_mm()[:, place]
            columns[f"{point}_label_mm"] = labels[:, place]
            columns[f"{point}_uncertainty_mm"] = answers.uncertainty_mm[:, place]
            columns[f"{point}_presence"] = answers.presence[:, place]
        tables.append(
            about.with_columns(
                pl.lit(method).alias("method"),
                *(pl.Series(name, values).fill_nan(None) for name, values in columns.items()),
            )
        )
    return pl.concat(tables)


def columns_of(table: pl.DataFrame, suffix: str) -> Floats:
    """The columns `<point><suffix>` as an array (n, 3), NaN for null."""
    return np.stack(
        [table[f"{point}{suffix}"].fill_null(float("nan")).to_numpy() for point in POINTS], axis=1
    ).astype(np.float64)


def calibrated_on_other_folds(answers: Answers, labels_mm: Floats, fold: NDArray[np.int64]) -> Answers:
    """Uncertainties that cover 90 % of the holes of all other folds: cross-conformal, fold by fold."""
    uncertainty = answers.uncertainty_mm.copy()
    for number in np.unique(fold):
        inside = fold == number
        uncertainty[inside] *= spread_of(
            answers.keypoints_mm[~inside], answers.uncertainty_mm[~inside], labels_mm[~inside]
        )
    return Answers(answers.keypoints_mm, uncertainty, answers.presence)


def spread_of(found_mm: Floats, deviation_mm: Floats, labels_mm: Floats) -> Floats:
    """By what to multiply deviations (n, 3) so that 90 % of the labels are within them, (3,)."""
    share = np.abs(found_mm - labels_mm) / deviation_mm
    spread = np.ones(share.shape[1])
    for column in range(share.shape[1]):
        known = share[np.isfinite(share[:, column]), column]
        if known.size:
            spread[column] = np.quantile(known, min(1.0, _COVERED * (known.size + 1) / known.size))
    return spread


def suspicious_labels(table: pl.DataFrame, method: str, share: float = 0.1) -> pl.DataFrame:
    """The holes whose labels the method's models, which had not seen them, doubt most.

    `doubt` is the largest error of a hole's key points in units of their stated uncertainty, or, where
    a labelled point was not answered, more than any such. The first `share` of the holes, worst first.
    """
    rows = table.filter(pl.col("method") == method)
    away = np.abs(columns_of(rows, "_mm") - columns_of(rows, "_label_mm"))
    label = columns_of(rows, "_label_mm")
    typical = np.nanmedian(np.where(np.isfinite(away), away, np.nan), axis=0)
    scale = np.maximum(columns_of(rows, "_uncertainty_mm"), typical)
    ratio = away / scale
    ratio = np.where(np.isnan(away) & np.isfinite(label), 1e3, np.nan_to_num(ratio))
    worst = ratio.argmax(axis=1)
    result = rows.select("file", "fold", "wear", "recipe", "stack").with_columns(
        pl.Series("doubt", ratio.max(axis=1)),
        pl.Series("point", [POINTS[place] for place in worst]),
        pl.Series("label_mm", label[np.arange(len(worst)), worst]).fill_nan(None),
        pl.Series("found_mm", columns_of(rows, "_mm")[np.arange(len(worst)), worst]).fill_nan(None),
    )
    return result.sort("doubt", descending=True).head(max(1, round(share * rows.height)))
