"""The phases of a hole as coloured bands: a strip with their names, and a tint behind the currents."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from drilling.phases import Phase
from drilling.plots import style
from drilling.plots.trace import Over

PHASE_HEIGHT = 0.3
_UNSURE = 0.6
_COLORS = {
    "approach": "#F1F1F1",
    "air": "#F1F1F1",
    "entry": "#BFE6DA",
    "cutting": "#DDE5EC",
    "transition": "#FBE0A8",
    "breakthrough": "#E9C4DA",
    "clearance": "#D3D3D3",
    "countersink": "#F3D3C0",
    "hard stop": "#E0A98F",
}
_CUT_COLORS = {"CFRP": "#D6E8F5", "titanium": "#AECBE6", "aluminium": "#D9D3EC"}


@dataclass(frozen=True, slots=True)
class Band:
    """A phase from one end to the other, over steps: by depth and by sample."""

    label: str
    color: str
    depths_mm: tuple[float, float]
    samples: tuple[int, int]

    def ends(self, over: Over) -> tuple[float, float]:
        """The ends on an axis."""
        first, last = self.samples
        return self.depths_mm if over == "position" else (float(first), float(last + 1))


def bands_of(phases: Sequence[Phase]) -> list[Band]:
    """A band for each phase, one for a phase that goes on in the next step."""
    bands: list[Band] = []
    kinds: list[tuple[str, str | None]] = []
    for phase in phases:
        kind = phase.name, phase.material
        color = _COLORS.get(phase.name, style.SOFT_EDGE)
        if phase.name == "cutting":
            color = _CUT_COLORS.get(phase.material or "", color)
        begin, first = phase.from_mm, phase.first_index
        sure = phase.confidence >= _UNSURE
        if kinds and kinds[-1] == kind:
            joined = bands.pop()
            begin, first = joined.depths_mm[0], joined.samples[0]
            sure = sure and not joined.label.endswith("?")
            kinds.pop()
        named = phase.material if phase.name == "cutting" and phase.material else phase.name
        label = named if sure else f"{named}?"
        bands.append(Band(label, color, (begin, phase.to_mm), (first, phase.last_index)))
        kinds.append(kind)
    # The tool passes from one phase to the next between two samples.
    return [
        replace(band, depths_mm=(band.depths_mm[0], below.depths_mm[0])) for band, below in pairwise(bands)
    ] + bands[-1:]


def draw_phases(
    strip: Axes, behind: Axes, bands: Sequence[Band], over: Over, width_in: float
) -> dict[str, Band]:
    """Draw the bands; gives those back, by label, whose name found no room in the strip."""
    strip.set_ylim(0, 1)
    strip.set_yticks([])
    strip.tick_params(bottom=False)
    strip.set_ylabel("phase", rotation=0, ha="right", va="center", fontsize=style.SMALL)
    low, high = strip.get_xlim()
    named: set[str] = set()
    unnamed: dict[str, Band] = {}
    for band in bands:
        start, end = band.ends(over)
        if not np.isfinite(start + end):
            continue
        strip.axvspan(start, end, facecolor=band.color, edgecolor="white", linewidth=0.8, gid="phase")
        behind.axvspan(start, end, facecolor=band.color, alpha=0.4, linewidth=0, zorder=0, gid="phase")
        share = (end - start) / (high - low)
        if style.text_share(band.label, width_in) + 0.004 <= share:
            middle = (start + end) / 2
            strip.text(middle, 0.47, band.label, ha="center", va="center", fontsize=style.SMALL)
            named.add(band.label)
        else:
            unnamed.setdefault(band.label, band)
    return {label: band for label, band in unnamed.items() if label not in named}
