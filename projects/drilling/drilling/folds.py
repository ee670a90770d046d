"""Splits in which no tool, head or panel stands on both sides: one hold-out, or 24 folds."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drilling.errors import DrillingError, InvalidConfig, TooFewHoles
from drilling.fold_plan import (
    KINDS,
    Fold,
    FoldPlan,
    FoldsMismatch,
    FoldSplit,
    Groups,
    LeakFound,
    Places,
    Split,
    check_no_leak,
    file_names,
    part_held_out,
)

__all__ = [
    "KINDS",
    "FewerFolds",
    "Fold",
    "FoldPlan",
    "FoldSplit",
    "FoldsMismatch",
    "Groups",
    "LeakFound",
    "SingleComponent",
    "Split",
    "check_no_leak",
    "connected_components",
    "grouped_folds",
    "hold_out",
    "read_folds",
    "write_folds",
]


class FewerFolds(UserWarning):
    """A plan has fewer folds than were asked for: one for each component."""


class SingleComponent(DrillingError):
    """Shared tools, heads or panels tie all holes together, so that no two folds can be apart."""

    def __init__(self, holes: int) -> None:
        super().__init__(
            f"shared tools, heads or panels tie all {holes} holes together: no grouped folds",
            remedy="Add holes of another head, tool and panel, or use hold_out, which then divides by hole.",
            holes=holes,
        )


def connected_components(groups: Sequence[Groups]) -> Places:
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
    components = connected_components(groups)
    held, grouped = part_held_out(components, share, seed)
    return Split(np.flatnonzero(~held), np.flatnonzero(held), int(components.max()) + 1, grouped)


def grouped_folds(
    groups: Sequence[Groups], folds: int = 24, seed: int = 7, names: Sequence[Path | str] | None = None
) -> FoldPlan:
    """Folds over whole components, of as equal numbers of holes as the components allow.

    The largest component goes first, each to the fold with the fewest holes; ties are drawn by the seed.
    Where there are fewer components than folds, each is a fold, with the warning FewerFolds. `names` are
    the holes' files.

    Raises SingleComponent where all holes are tied together, since a plan is always grouped; InvalidConfig
    for fewer than two folds or a file name that comes twice; TooFewHoles for fewer than two holes;
    FoldsMismatch for more or fewer names than holes.
    """
    if folds < 2:
        raise InvalidConfig("grouped_folds", f"{folds} folds leave nothing to train on")
    if len(groups) < 2:
        raise TooFewHoles(len(groups), needed=2)
    components = connected_components(groups)
    sizes = np.bincount(components)
    if sizes.size == 1:
        raise SingleComponent(len(groups))
    warning = _fewer(sizes.size, folds)
    fold_of = _spread(sizes, min(folds, sizes.size), np.random.default_rng(seed))[components]
    parts = tuple(Fold(number, np.flatnonzero(fold_of == number)) for number in range(fold_of.max() + 1))
    files = file_names(names if names is not None else [str(place) for place in range(len(groups))])
    plan = FoldPlan(parts, components, warning, files, seed)
    check_no_leak(plan, groups)
    if warning:
        warnings.warn(warning, FewerFolds, stacklevel=2)
    return plan


def write_folds(plan: FoldPlan, files: Sequence[Path | str], path: Path) -> None:
    """Store a plan under the names of its holes' files, in the order of the plan's places.

    Raises FoldsMismatch where there are more or fewer files than holes, InvalidConfig where two have the
    same name.
    """
    names = file_names(files)
    if len(names) != len(plan.names):
        raise FoldsMismatch(list(plan.names[len(names) :]), list(names[len(plan.names) :]))
    path.write_text(FoldPlan(plan.folds, plan.components, plan.warning, names, plan.seed).to_json())


def read_folds(path: Path, files: Sequence[Path | str] | None = None) -> FoldPlan:
    """A stored plan, by the places of `files` where they are given, else of the file's own order.

    Raises InvalidConfig where the file is no plan, LeakFound where it divides a component,
    FoldsMismatch where the files are others.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(str(path), f"cannot be read: {error}") from error
    plan = FoldPlan.from_json(text)
    return plan if files is None else plan.reordered(files)


def _fewer(components: int, folds: int) -> str | None:
    if components >= folds:
        return None
    return f"{components} folds, not {folds}: shared tools, heads and panels leave {components} components"


def _spread(sizes: Places, folds: int, rng: np.random.Generator) -> Places:
    """The fold of each component: the largest first, each to the fold with the fewest holes."""
    fold_of = np.empty(sizes.size, dtype=np.int64)
    held = np.zeros(folds, dtype=np.int64)
    shuffled = rng.permutation(sizes.size)
    for component in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold = int(rng.choice(np.flatnonzero(held == held.min())))
        fold_of[component] = fold
        held[fold] += sizes[component]
    return fold_of


def _root(parent: list[int], hole: int) -> int:
    while parent[hole] != hole:
        parent[hole] = parent[parent[hole]]
        hole = parent[hole]
    return hole
