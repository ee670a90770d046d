"""Splits in which no tool, head or panel stands on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilling.errors import InvalidConfig, TooFewHoles

Groups = Sequence[str]


@dataclass(frozen=True, slots=True)
class Split:
    """Places of training and held-out holes. `grouped` is False where one group ties all together."""

    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    components: int
    grouped: bool


def connected_components(groups: Sequence[Groups]) -> NDArray[np.int64]:
    """A component number for each hole: holes that share a name in any place are of one component.

    `groups` gives each hole's names in a fixed order (tool, head, panel); an empty name ties nothing.
    """
    parent = list(range(len(groups)))
    first_with: dict[tuple[int, str], int] = {}
    for hole, hole_groups in enumerate(groups):
        for kind, name in enumerate(hole_groups):
            if name:
                other = first_with.setdefault((kind, name), hole)
                parent[_root(parent, hole)] = _root(parent, other)
    roots = [_root(parent, hole) for hole in range(len(groups))]
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def hold_out(groups: Sequence[Groups], share: float, seed: int) -> Split:
    """Hold out whole components, drawn at random, that make up at most `share` of the holes.

    Where every component is larger than that, the smallest one is held out.

    With a single component the holes themselves are divided, and `grouped` says that it was so.
    Raises InvalidConfig for a share outside 0 to 1, TooFewHoles for fewer than two holes.
    """
    if not 0 < share < 1:
        raise InvalidConfig("hold_out", f"held-out share {share} is not between 0 and 1")
    if len(groups) < 2:
        raise TooFewHoles(len(groups), needed=2)
    components = connected_components(groups)
    count = int(components.max()) + 1
    grouped = count > 1
    unit = components if grouped else np.arange(len(groups))
    held = _chosen(unit, max(1, round(share * len(groups))), np.random.default_rng(seed))
    return Split(np.flatnonzero(~held), np.flatnonzero(held), count, grouped)


def _chosen(unit: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whole units in random order, each that still fits into the wanted number; at least the smallest."""
    sizes = np.bincount(unit)
    chosen: list[int] = []
    for number in rng.permutation(sizes.size):
        if sizes[chosen].sum() + sizes[number] <= wanted:
            chosen.append(int(number))
    return np.isin(unit, chosen or [int(np.argmin(sizes))])


def _root(parent: list[int], hole: int) -> int:
    while parent[hole] != hole:
        parent[hole] = parent[parent[hole]]
        hole = parent[hole]
    return hole
