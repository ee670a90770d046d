"""The holes that no registered model is trained on, so that two of them can be compared on them.

A hole's component is held out where the hash of its names is low: a component stays on its side when
data is added, whatever else comes with it.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drilling.errors import InvalidConfig, TooFewHoles
from drilling.folds import Groups, connected_components


def gate_holes(groups: Sequence[Groups], names: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Which holes are kept for comparisons, (n,): whole components, about `share` of the holes.

    `groups` are each hole's tool, head and panel, `names` its file name. At least one component is held
    out, and one is not; a single component is divided by hole. Raises InvalidConfig for a share outside
    0 to 1, TooFewHoles for fewer than two holes.
    """
    if not 0 < share < 1:
        raise InvalidConfig("gate_holes", f"held-out share {share} is not between 0 and 1")
    if len(names) < 2:
        raise TooFewHoles(len(names), needed=2)
    components = connected_components(groups)
    if components.max() == 0:
        components = np.arange(len(names))
    first: dict[int, str] = {}
    for component, hole_groups, name in zip(components.tolist(), groups, names, strict=True):
        label = min((group for group in hole_groups if group), default=name)
        if len({*components.tolist()}) == len(names):
            label = name
        first[component] = min(label, first.get(component, label))
    place = {component: _place(label) for component, label in first.items()}
    lowest, highest = min(place, key=place.__getitem__), max(place, key=place.__getitem__)
    held = {component for component, value in place.items() if value < share} | {lowest}
    return np.isin(components, sorted(held - {highest}))


def _place(label: str) -> float:
    """A number from 0 to 1 that is the name's own."""
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:8]) / 2**64
