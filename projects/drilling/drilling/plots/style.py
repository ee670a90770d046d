"""What all figures share: colours, sizes, plain texts, and writing them to a file or into a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drilling.errors import InvalidConfig
from drilling.labeling import KEY_POINTS

# Okabe and Ito's and Tol's colours, which colour-blind people tell apart.
TORQUE, THRUST, THRUST_TEXT = "#0072B2", "#8A929B", "#5B646D"
ENTRY, TRANSITION, EXIT = "#009E73", "#E69F00", "#AA3377"
KEY_POINT_COLORS = dict(zip(KEY_POINTS, (ENTRY, TRANSITION, EXIT), strict=True))
# The orange is too light for letters.
KEY_POINT_TEXT = dict(zip(KEY_POINTS, ("#00795A", "#9A6A00", EXIT), strict=True))
SEVERITY_COLORS = {"info": "#9DB7CC", "warning": "#E69F00", "error": "#D55E00"}
FAULT = "#D55E00"
GROUP_COLORS = ("#0072B2", "#E69F00", "#009E73", "#AA3377", "#56B4E9", "#D55E00")
OTHER = "#8A929B"
SOFT_EDGE = "#C8CED4"

DPI = 110
WIDTH_IN, SMALL, NORMAL = 10.0, 8, 10
_LETTER_SHARE = 0.58
_SUFFIXES = (".png", ".svg", ".pdf")


class FigureRecorder(Protocol):
    """A run's client that keeps a figure as an artifact, as `mlops.MLOpsClient` does."""

    def log_figure(self, figure: Any, name: str) -> None:
        """Keep a figure as the artifact `name`."""


def new_figure(height_in: float, title: str = "") -> Figure:
    """An empty figure of the usual width with its title at the top left."""
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=NORMAL)
    return figure


def short(key_point: str) -> str:
    """A key point's name without its unit."""
    return key_point.removesuffix("_mm")


def plain(text: str) -> str:
    """A text that matplotlib shows as it is: no formula, no character without a shape."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text).replace("$", r"\$")
    # Labels that start with an underscore stay out of legends.
    return f" {shown}" if shown.startswith("_") else shown


def titled(title: str, *, synthetic: bool) -> str:
    """A title that says so where the data is synthetic, once."""
    return f"{title} (synthetic data)".strip() if synthetic and "synthetic" not in title.lower() else title


def text_share(text: str, width_in: float, size: float = SMALL) -> float:
    """About which share of a width a text takes up."""
    return len(text) * size * _LETTER_SHARE / 72 / width_in


def lanes_of(spans: Sequence[tuple[float, float]]) -> list[int]:
    """For each span the first lane in which it touches none before it."""
    taken: list[list[tuple[float, float]]] = []
    lanes = []
    for start, end in spans:
        free = (
            lane
            for lane, others in enumerate(taken)
            if all(end <= other[0] or start >= other[1] for other in others)
        )
        lane = next(free, len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((start, end))
        lanes.append(lane)
    return lanes


def legend_below(figure: Figure, handles: Sequence[Artist], columns: int = 6) -> None:
    """A legend under the axes, where it hides no data."""
    if handles:
        figure.legend(
            handles=list(handles), loc="outside lower center", ncols=columns, fontsize=SMALL, frameon=False
        )


def say_nothing(axes: Axes, text: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=THRUST_TEXT)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG, making its folder; gives the path back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    return path


def log_figures(
    client: FigureRecorder, figures: Mapping[str, Figure], artifact_path: str = "figures"
) -> None:
    """Keep figures in the client's run as `<artifact_path>/<name>`, PNGs where the name says no format.

    Raises InvalidConfig for what is no figure, before any is kept.
    """
    for name, figure in figures.items():
        if not name or not isinstance(figure, Figure):
            raise InvalidConfig("log_figures", f"{name!r} is no name with a matplotlib figure")
    for name, figure in figures.items():
        file = name if name.endswith(_SUFFIXES) else f"{name}.png"
        client.log_figure(figure, f"{artifact_path}/{file}" if artifact_path else file)
