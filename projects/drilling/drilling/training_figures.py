"""Figures of the held-out holes: how far off, and those that a person would look at first."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from drilling import plots
from drilling.answers import Answers
from drilling.dataset import Hole, HoleSet

_WORST = 3


def held_out_figures(holes: Sequence[Hole], answers: Answers, dataset: HoleSet) -> dict[str, Figure]:
    """Error histograms, a typical hole and the worst ones, with truth, automatic and predicted points."""
    found = answers.present_mm()
    labels = np.array([hole.label_mm for hole in holes])
    measured = (
        "against the truth (synthetic)" if dataset.has_truth else f"against {dataset.label_source} labels"
    )
    figures = {"errors": plots.error_figure(found, labels, f"{len(holes)} held-out holes, {measured}")}
    by_error = np.argsort(np.nan_to_num(np.abs(found - labels)).max(axis=1))
    figures["hole_typical"] = plots.hole_figure(
        holes[by_error[by_error.size // 2]], found[by_error[by_error.size // 2]]
    )
    for number, place in enumerate(by_error[::-1][:_WORST], start=1):
        figures[f"hole_worst_{number}"] = plots.hole_figure(holes[place], found[place])
    return figures
