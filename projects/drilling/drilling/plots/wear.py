"""How the torque of the hardest layer rises as a tool ages."""

from collections.abc import Iterable

import numpy as np
import polars as pl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from drilling.errors import InvalidConfig
from drilling.plots import style
from drilling.plots.trace import file_name, is_synthetic, recipe_of
from drilling.setitec import SetitecLog
from drilling.validation.recording import open_recording
from drilling.validation.summary import HoleSummary, summary_of
from drilling.validation.wear import robust_line, wear_out_of_trend

Floats = NDArray[np.float64]
NEEDED = ("tool", "age", "hard_torque_a")
_SCHEMA = {
    **dict.fromkeys(("file", "tool", "recipe"), pl.String),
    "age": pl.Int64,
    "hard_torque_a": pl.Float64,
    **dict.fromkeys(("outlier", "synthetic"), pl.Boolean),
}
_LEAST_FOR_TREND = 5
_MOST_TOOLS, _COLUMNS = 12, 4
# Within so much of its level a torque does not look like a trend.
_LEAST_SPAN = 0.2


def wear_table(logs: Iterable[SetitecLog]) -> pl.DataFrame:
    """A row for each log: file, tool, recipe, age (local counter), hard_torque_a, outlier, synthetic.

    `hard_torque_a` is the median net torque of the hardest layer, null where nothing was cut; tool and age
    are null where the header does not say. An outlier is what the check `wear_out_of_trend` finds. Logs
    are read one at a time.
    """
    rows: list[tuple[str, str, bool]] = []
    holes: list[HoleSummary] = []
    for log in logs:
        rows.append((file_name(log), recipe_of(log), is_synthetic(log)))
        holes.append(summary_of(open_recording(log)))
    outliers = {place for place, _ in wear_out_of_trend(holes)}
    table = [
        (
            file,
            hole.identity.tag or None,
            recipe,
            hole.identity.local_counter,
            hole.level_a,
            place in outliers,
            made,
        )
        for place, ((file, recipe, made), hole) in enumerate(zip(rows, holes, strict=True))
    ]
    return pl.DataFrame(table, schema=_SCHEMA, orient="row")


def wear_figure(rows: pl.DataFrame) -> Figure:
    """Torque of the hardest layer over the tool's age, a panel for each tool, with its robust trend.

    Each panel has its own scale, of at least a fifth of the torque.
    `rows` are those of `wear_table`, or have at least tool, age and hard_torque_a; with `recipe` each
    recipe has a colour and a trend of its own, with `outlier` those are ringed, and `synthetic` goes into
    the title. At most 12 tools are drawn, those with the most holes. Raises InvalidConfig where a column
    is missing.
    """
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        raise InvalidConfig("wear_figure", f"the table has no column {', '.join(missing)}")
    synthetic = "synthetic" in rows.columns and bool(rows["synthetic"].fill_null(False).any())
    known = _complete(rows)
    tools = known["tool"].value_counts(sort=True).sort(["count", "tool"], descending=[True, False])["tool"]
    shown = sorted(tools.to_list()[:_MOST_TOOLS])
    title = f"Torque of the hardest layer as tools age: {len(shown)} of {tools.len()} tools"
    across = max(1, min(_COLUMNS, len(shown)))
    down = max(1, -(-len(shown) // across))
    figure = style.new_figure(1.4 + 2.1 * down, style.titled(title, synthetic=synthetic))
    panels = figure.subplots(down, across, squeeze=False)
    colors = _recipe_colors(known.filter(pl.col("tool").is_in(shown)))
    for panel, tool in zip(panels.flat, shown, strict=False):
        _draw_tool(panel, known.filter(tool=tool), colors)
        panel.set_title(style.plain(tool), fontsize=style.SMALL)
    for panel in list(panels.flat)[max(1, len(shown)) :]:
        panel.set_axis_off()
    if not shown:
        style.say_nothing(panels[0, 0], "no hole has a tool, an age and a torque")
    for panel in panels[:, 0]:
        panel.set_ylabel("net torque current, A", fontsize=style.SMALL)
    for panel in list(panels.flat)[max(0, len(shown) - across) : max(1, len(shown))]:
        panel.set_xlabel("age, holes (local counter)", fontsize=style.SMALL)
    style.legend_below(figure, _legend(colors, bool(known["outlier"].any())), columns=4)
    return figure


def _complete(rows: pl.DataFrame) -> pl.DataFrame:
    recipe = pl.col("recipe").cast(pl.String).fill_null("?") if "recipe" in rows.columns else pl.lit("holes")
    outlier = pl.col("outlier").fill_null(False) if "outlier" in rows.columns else pl.lit(False)
    numbers = (pl.col(name).cast(pl.Float64).fill_nan(None) for name in NEEDED[1:])
    table = rows.select(pl.col("tool").cast(pl.String), *numbers, recipe=recipe, outlier=outlier)
    return table.drop_nulls(list(NEEDED))


def _recipe_colors(known: pl.DataFrame) -> dict[str, str]:
    """A colour for each recipe, the most frequent first; those beyond the palette share the last."""
    recipes = known["recipe"].value_counts(sort=True).sort(["count", "recipe"], descending=[True, False])
    names = recipes["recipe"].to_list()
    most = len(style.GROUP_COLORS)
    own = most if len(names) <= most else most - 1
    colors = [*style.GROUP_COLORS[:own], *[style.OTHER] * len(names)]
    return dict(zip(names, colors, strict=False))


def _draw_tool(panel: Axes, holes: pl.DataFrame, colors: dict[str, str]) -> None:
    for recipe, color in colors.items():
        of_recipe = holes.filter(recipe=recipe)
        age, torque = of_recipe["age"].to_numpy(), of_recipe["hard_torque_a"].to_numpy()
        if not age.size:
            continue
        panel.scatter(age, torque, s=14, color=color, alpha=0.65, linewidths=0)
        far = of_recipe["outlier"].to_numpy()
        panel.scatter(age[far], torque[far], s=50, facecolors="none", edgecolors=style.FAULT, linewidths=1.2)
        if age.size >= _LEAST_FOR_TREND and np.ptp(age) > 0:
            slope, start = robust_line(age, torque)
            ends = np.array([age.min(), age.max()])
            panel.plot(ends, start + slope * ends, color=color, linewidth=1.3, gid="trend")
    _set_span(panel, holes["age"].to_numpy(), holes["hard_torque_a"].to_numpy())


def _set_span(panel: Axes, age: Floats, torque: Floats) -> None:
    middle = float(torque.min() + torque.max()) / 2
    half = max(0.6 * float(np.ptp(torque)), _LEAST_SPAN / 2 * abs(middle), 0.1)
    panel.set_ylim(middle - half, middle + half)
    margin = max(0.06 * float(np.ptp(age)), 0.6)
    panel.set_xlim(age.min() - margin, age.max() + margin)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    panel.tick_params(labelsize=style.SMALL)


def _legend(colors: dict[str, str], outliers: bool) -> list[Artist]:
    named = {recipe: color for recipe, color in colors.items() if color != style.OTHER}
    others = len(colors) - len(named)
    handles: list[Artist] = [
        Line2D([], [], color=color, marker="o", markersize=4, label=style.plain(recipe))
        for recipe, color in named.items()
    ]
    if others:
        label = f"{others} other recipes" if others > 1 else "another recipe"
        handles.append(Line2D([], [], color=style.OTHER, marker="o", markersize=4, label=label))
    if outliers:
        ring = Line2D([], [], linestyle="", marker="o", mfc="none", color=style.FAULT, label="out of trend")
        handles.append(ring)
    return handles
