"""A plan of grouped folds: what each fold trains on, that nothing leaks, and its storage as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drilling.errors import DrillingError, InvalidConfig, TooFewHoles

Groups = Sequence[str]
Places = NDArray[np.int64]

KINDS = ("tool", "head", "panel", "origin")
"""What the names of a hole's groups stand for, in order; `origin` ties augmented copies to their hole."""
_FORMAT = 1


class LeakFound(DrillingError):
    """A tool, head, panel or hole stands in two folds, or in two parts of a split; `holes` share it.

    `folds` are the folds' numbers, or the parts' names (train, validation, test, held_out).
    """

    def __init__(self, kind: str, name: str, folds: list[int] | list[str], holes: list[str]) -> None:
        apart = "folds " if isinstance(folds[0], int) else ""
        super().__init__(
            f"{kind} {name} is in {apart}{', '.join(map(str, folds))}: holes {', '.join(holes[:5])}",
            remedy="Plan the folds anew with grouped_folds over the groups as they are now.",
            kind=kind,
            name=name,
            folds=folds,
            holes=holes,
        )


class FoldsMismatch(DrillingError):
    """The holes of a plan are not those at hand."""

    def __init__(self, missing: list[str], unplanned: list[str]) -> None:
        super().__init__(
            f"{len(missing)} holes of the plan are missing {missing[:5]}, "
            f"{len(unplanned)} holes are in no fold {unplanned[:5]}",
            remedy="Use the plan with the holes it was made for, or plan anew with grouped_folds.",
            missing=missing,
            unplanned=unplanned,
        )


@dataclass(frozen=True, slots=True)
class Split:
    """Places of training and held-out holes. `grouped` is False where one group ties all together."""

    train: Places
    held_out: Places
    components: int
    grouped: bool


@dataclass(frozen=True, slots=True)
class Fold:
    """The places of the holes that one fold holds out; all others are its training part."""

    number: int
    held_out: Places


@dataclass(frozen=True, slots=True)
class FoldSplit:
    """Places for one fold: to train on, to stop early by, and the held-out ones to judge by.

    `grouped` is False where one component is all that is left to train on, so that training and
    validation (never the test) share it.
    """

    train: Places
    validation: Places
    test: Places
    grouped: bool


@dataclass(frozen=True, slots=True, eq=False)
class FoldPlan:
    """Grouped folds: each hole is in exactly one fold's held-out part.

    `components` (n,) is each hole's component number, `names` its file name (its place where no names
    were given), `warning` says why there are fewer folds than were asked for.
    """

    folds: tuple[Fold, ...]
    components: Places
    warning: str | None
    names: tuple[str, ...]
    seed: int

    def split(self, fold: int | Fold, validation_share: float = 0.2) -> FoldSplit:
        """A fold's held-out holes as the test, the others divided by components for early stopping.

        Raises InvalidConfig for a share outside 0 to 1 or an unknown fold, TooFewHoles where fewer than
        two holes are left to train on.
        """
        number = fold.number if isinstance(fold, Fold) else fold
        if not 0 <= number < len(self.folds):
            raise InvalidConfig("split", f"no fold {number} in a plan of {len(self.folds)}")
        test = self.folds[number].held_out
        others = np.setdiff1d(np.arange(len(self.names)), test)
        held, grouped = part_held_out(self.components[others], validation_share, [self.seed, number])
        return FoldSplit(others[~held], others[held], test, grouped)

    def reordered(self, files: Iterable[Path | str]) -> "FoldPlan":
        """The same folds by the places of these files. Raises FoldsMismatch where they are others."""
        names = file_names(files)
        missing, unplanned = sorted({*self.names} - {*names}), sorted({*names} - {*self.names})
        if missing or unplanned:
            raise FoldsMismatch(missing, unplanned)
        place = {name: number for number, name in enumerate(names)}
        now = np.array([place[name] for name in self.names])
        folds = tuple(Fold(fold.number, np.sort(now[fold.held_out])) for fold in self.folds)
        return replace(self, folds=folds, components=self.components[np.argsort(now)], names=names)

    def limited_to(self, files: Iterable[Path | str]) -> "FoldPlan":
        """The same folds by the places of these files, which are some of the plan's holes; a fold that holds
        none of them goes. Raises FoldsMismatch for a file that is in no fold."""
        wanted = {*file_names(files)}
        kept = [place for place, name in enumerate(self.names) if name in wanted]
        now = {place: number for number, place in enumerate(kept)}
        held_out = [[now[place] for place in fold.held_out.tolist() if place in now] for fold in self.folds]
        folds = (np.array(places, dtype=np.int64) for places in held_out if places)
        plan = replace(
            self,
            folds=tuple(Fold(number, places) for number, places in enumerate(folds)),
            components=self.components[kept],
            names=tuple(self.names[place] for place in kept),
        )
        return plan.reordered(files)

    def to_json(self) -> str:
        """The plan as JSON with a line for each hole: its name, component and fold."""
        fold_of = {place: fold.number for fold in self.folds for place in fold.held_out.tolist()}
        holes = [
            {"hole": name, "component": int(self.components[place]), "fold": fold_of[place]}
            for place, name in enumerate(self.names)
        ]
        head = json.dumps({"format": _FORMAT, "seed": self.seed, "warning": self.warning})
        return f'{head[:-1]}, "holes": [\n' + ",\n".join(map(json.dumps, holes)) + "\n]}\n"

    @classmethod
    def from_json(cls, text: str) -> "FoldPlan":
        """What `to_json` wrote. Raises InvalidConfig for anything else, LeakFound for a divided component."""
        try:
            content: Any = json.loads(text)
            seed, warning, written = int(content["seed"]), content["warning"], content["format"]
            rows = content["holes"]
            names = tuple(str(row["hole"]) for row in rows)
            components, fold_of = (
                np.array([int(row[key]) for row in rows], np.int64) for key in ("component", "fold")
            )
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidConfig("folds", f"not a stored plan: {error!r}") from error
        numbers = np.unique(fold_of)
        whole = numbers.size > 1 and np.array_equal(numbers, np.arange(numbers.size))
        if written != _FORMAT or not whole or len({*names}) < len(names):
            raise InvalidConfig("folds", "the folds, names or format of the plan do not fit together")
        folds = tuple(Fold(int(number), np.flatnonzero(fold_of == number)) for number in numbers)
        plan = cls(folds, components, warning, names, seed)
        check_no_leak(plan, [(str(number),) for number in components], kinds=("component",))
        return plan


def check_no_leak(
    plan: FoldPlan | FoldSplit | Split, groups: Sequence[Groups], kinds: Sequence[str] = KINDS
) -> None:
    """Prove that no name of any kind, and no hole, stands in two folds or parts, and that none is left out.

    A split that is not `grouped` fails: its parts share what ties them together. Raises LeakFound, which
    names what is shared and by which holes, or FoldsMismatch where the groups are not those of as many
    holes as the plan or split has.
    """
    parts, names = _parts(plan, len(groups))
    if len(groups) != len(names):
        holes = [str(place) for place in range(len(groups))]
        raise FoldsMismatch(list(names[len(groups) :]), holes[len(names) :])
    parts_of: list[list[int]] = [[] for _ in names]
    for part, (_, places) in enumerate(parts):
        for place in places.tolist():
            parts_of[place].append(part)
    left_out = [name for name, found in zip(names, parts_of, strict=True) if not found]
    if left_out:
        raise FoldsMismatch([], left_out)
    sharing: dict[tuple[str, str], list[int]] = {}
    for place, hole_groups in enumerate(groups):
        sharing[("hole", names[place])] = [place]
        for kind, name in enumerate(hole_groups):
            if name:
                label = kinds[kind] if kind < len(kinds) else f"group {kind}"
                sharing.setdefault((label, name), []).append(place)
    for (label, name), holes_with in sharing.items():
        found = sorted(part for place in holes_with for part in parts_of[place])
        if found[0] != found[-1] or (label == "hole" and len(found) > 1):
            between: list[Any] = [parts[part][0] for part in sorted({*found})]
            raise LeakFound(label, name, between, [names[place] for place in holes_with])


def _parts(
    plan: FoldPlan | FoldSplit | Split, holes: int
) -> tuple[list[tuple[int | str, Places]], tuple[str, ...]]:
    """The (label, places) that must share nothing, and the holes' names; a split's holes have none."""
    if isinstance(plan, FoldPlan):
        return [(fold.number, fold.held_out) for fold in plan.folds], plan.names
    fields = ("train", "held_out") if isinstance(plan, Split) else ("train", "validation", "test")
    parts: list[tuple[int | str, Places]] = [(field, getattr(plan, field)) for field in fields]
    last = max((int(places.max()) for _, places in parts if places.size), default=-1)
    return parts, tuple(str(place) for place in range(max(holes, last + 1)))


def part_held_out(unit: Places, share: float, seed: int | list[int]) -> tuple[NDArray[np.bool_], bool]:
    """Which holes are held out, as whole units (n,), and whether it was by unit.

    A single unit is divided by hole. Raises InvalidConfig for a share outside 0 to 1, TooFewHoles for
    fewer than two holes.
    """
    if not 0 < share < 1:
        raise InvalidConfig("hold_out", f"held-out share {share} is not between 0 and 1")
    if unit.size < 2:
        raise TooFewHoles(unit.size, needed=2)
    numbers, unit = np.unique(unit, return_inverse=True)
    grouped = numbers.size > 1
    unit = unit if grouped else np.arange(unit.size)
    wanted = min(max(1, round(share * unit.size)), unit.size - 1)
    return _chosen(unit, wanted, np.random.default_rng(seed)), grouped


def file_names(files: Iterable[Path | str]) -> tuple[str, ...]:
    """The names of files without their folders. Raises InvalidConfig where one comes twice."""
    names = tuple(Path(file).name for file in files)
    twice = sorted({name for name in names if names.count(name) > 1}) if len({*names}) < len(names) else []
    if twice:
        raise InvalidConfig(
            "folds", f"several files are called {', '.join(twice[:5])}: a plan needs one each"
        )
    return names


def _chosen(unit: Places, wanted: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whole units in random order, each that still fits into the wanted number; at least the smallest."""
    sizes = np.bincount(unit)
    chosen: list[int] = []
    for number in rng.permutation(sizes.size):
        if sizes[chosen].sum() + sizes[number] <= wanted:
            chosen.append(int(number))
    return np.isin(unit, chosen or [int(np.argmin(sizes))])
