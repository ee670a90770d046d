"""Pictures of holes and of errors, as matplotlib figures without global state."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from drilling.dataset import Hole
from drilling.labeling import KEY_POINTS
from drilling.profile import samples_of

Floats = NDArray[np.float64]
_TORQUE, _THRUST, _CHANGE = "#1f5fa8", "#9aa5b1", "#f2e3c6"
_KEY_POINT_COLORS = ("#1a7f4b", "#c2571a", "#a3262a")
_STYLES = {"truth": "-", "automatic": "--", "predicted": ":"}


def hole_figure(hole: Hole, predicted_mm: Floats | None = None) -> Figure:
    """Torque and thrust over depth, with the key points: truth, automatic and predicted."""
    samples = samples_of(hole.log)
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    torque = figure.add_subplot()
    thrust = torque.twinx()
    thrust.plot(samples.position_mm, samples.thrust_a, color=_THRUST, linewidth=0.8)
    torque.plot(samples.position_mm, samples.net_torque_a, color=_TORQUE, linewidth=0.9)
    torque.set_zorder(thrust.get_zorder() + 1)
    torque.patch.set_visible(False)
    _draw_changes(torque, samples.position_mm, samples.changed)
    found = {"truth": hole.truth_mm, "automatic": hole.automatic.as_array(), "predicted": predicted_mm}
    for name, depths in found.items():
        if depths is not None:
            _draw_key_points(torque, depths, name)
    _draw_legend(torque, found)
    torque.set_xlabel("depth, mm of |position|")
    torque.set_ylabel("net torque current, A", color=_TORQUE)
    thrust.set_ylabel("net thrust current, A", color="#66707a")
    note = "synthetic" if hole.truth_mm is not None else f"confidence {hole.automatic.confidence:.2f}"
    torque.set_title(f"{hole.path.name} ({note})", loc="left", fontsize=10)
    return figure


def error_figure(found_mm: Floats, label_mm: Floats, title: str) -> Figure:
    """A histogram of signed errors in mm for each key point, arrays (n, 3)."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    errors = found_mm - label_mm
    known = np.abs(errors[np.isfinite(errors)])
    reach = max(0.1, float(known.max()) if known.size else 0.1)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for place, (panel, name) in enumerate(zip(panels, KEY_POINTS, strict=True)):
        values = errors[np.isfinite(errors[:, place]), place]
        panel.hist(values, bins=np.linspace(-reach, reach, 25), color=_KEY_POINT_COLORS[place], alpha=0.85)
        panel.axvline(0, color="black", linewidth=0.7)
        mean = f"MAE {np.abs(values).mean():.3f} mm" if values.size else "none"
        panel.set_title(f"{name.removesuffix('_mm')}: {mean}", fontsize=10)
        panel.set_xlabel("error, mm")
    panels[0].set_ylabel("holes")
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG, making its folder; gives the path back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _draw_changes(axes: Axes, position: Floats, changed: NDArray[np.bool_]) -> None:
    starts = np.flatnonzero(np.diff(changed.astype(np.int8), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(changed.astype(np.int8), append=0) == -1)
    for start, end in zip(starts, ends, strict=True):
        axes.axvspan(position[start], position[end], color=_CHANGE, zorder=0)


def _draw_key_points(axes: Axes, depths: Floats, name: str) -> None:
    for depth, color in zip(depths, _KEY_POINT_COLORS, strict=True):
        if np.isfinite(depth):
            axes.axvline(depth, color=color, linestyle=_STYLES[name], linewidth=1.4)


def _draw_legend(axes: Axes, found: dict[str, Floats | None]) -> None:
    for name, depths in found.items():
        if depths is not None:
            axes.plot([], [], color="black", linestyle=_STYLES[name], label=name)
    for name, color in zip(KEY_POINTS, _KEY_POINT_COLORS, strict=True):
        axes.plot([], [], color=color, linewidth=4, label=name.removesuffix("_mm"))
    axes.fill_between([], [], color=_CHANGE, label="step change")
    axes.legend(loc="upper left", fontsize=8, ncols=2, framealpha=0.9)
