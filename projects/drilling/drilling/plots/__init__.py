"""Pictures of holes, batches and errors, as matplotlib figures without global state."""

from drilling.plots.batch import GRIP_PITCH_MM, problem_figure, thickness_figure
from drilling.plots.errors import calibration_figure, error_by_group_figure, error_figure, scatter_figure
from drilling.plots.hole import hole_figure, hole_report_figure, log_figure
from drilling.plots.overlay import overlay_figure
from drilling.plots.style import log_figures, save_figure
from drilling.plots.wear import wear_figure, wear_table

__all__ = [
    "GRIP_PITCH_MM",
    "calibration_figure",
    "error_by_group_figure",
    "error_figure",
    "hole_figure",
    "hole_report_figure",
    "log_figure",
    "log_figures",
    "overlay_figure",
    "problem_figure",
    "save_figure",
    "scatter_figure",
    "thickness_figure",
    "wear_figure",
    "wear_table",
]
