"""Check over a batch: torque against tool age, per tool and recipe."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from drilling.validation.finding import Finding, Severity
from drilling.validation.summary import HoleSummary

Floats = NDArray[np.float64]
_LEAST_HOLES = 8
_MOST_SPREADS = 4.0
# Panels and layers vary: a spread below this share of the level is not believed.
_LEAST_SPREAD = 0.02
# Above, the slope's medians are taken over an even choice of holes.
_MOST_HOLES = 400


def wear_out_of_trend(holes: Sequence[HoleSummary]) -> Iterator[tuple[int, Finding]]:
    """A hole whose torque in the hardest layer is far from the tool's trend over its local counter."""
    for (tag, _), places in _by_tool(holes).items():
        age = np.array([holes[place].identity.local_counter for place in places], dtype=np.float64)
        level = np.array([holes[place].level_a for place in places])
        slope, start = robust_line(age, level)
        off = level - (start + slope * age)
        spread = max(1.4826 * float(np.median(np.abs(off))), _LEAST_SPREAD * float(np.median(level)))
        for outlier in np.flatnonzero(np.abs(off) > _MOST_SPREADS * spread).tolist():
            expected = start + slope * age[outlier]
            yield (
                places[outlier],
                Finding(
                    "wear_out_of_trend",
                    Severity.WARNING,
                    f"The torque of the hardest layer is {level[outlier]:.1f} A; {tag}'s trend "
                    f"over {len(places)} holes gives {expected:.1f} A at hole {age[outlier]:.0f} "
                    f"({abs(off[outlier]) / spread:.1f} spreads away).",
                    "Look at the tool's edge and at the panel; a worn or changed tool needs its own labels.",
                    None,
                    float(level[outlier]),
                    float(expected + np.copysign(_MOST_SPREADS * spread, off[outlier])),
                ),
            )


def robust_line(x: Floats, y: Floats) -> tuple[float, float]:
    """Theil-Sen's slope and start: the median of all slopes, then of what it leaves.

    A slope of 0 where every x is the same.
    """
    kept = np.linspace(0, x.size - 1, min(x.size, _MOST_HOLES)).astype(int)
    first, second = np.triu_indices(kept.size, 1)
    run = x[kept][second] - x[kept][first]
    rise = y[kept][second] - y[kept][first]
    slope = float(np.median(rise[run != 0] / run[run != 0])) if run.any() else 0.0
    return slope, float(np.median(y - slope * x))


def _by_tool(holes: Sequence[HoleSummary]) -> dict[tuple[str, str], list[int]]:
    """The places of each tool's and recipe's holes with an age and a level, where they are enough."""
    tools: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, hole in enumerate(holes):
        who = hole.identity
        if who.tag and who.local_counter is not None and hole.level_a is not None:
            tools[who.tag, who.recipe].append(place)
    return {tool: places for tool, places in tools.items() if len(places) >= _LEAST_HOLES}


CHECKS = (wear_out_of_trend,)
