"""Grouped hold-out and grouped folds: nothing leaks."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilling.errors import DrillingError, InvalidConfig, TooFewHoles
from drilling.folds import (
    FewerFolds,
    Fold,
    FoldPlan,
    FoldsMismatch,
    LeakFound,
    SingleComponent,
    check_no_leak,
    connected_components,
    grouped_folds,
    hold_out,
    read_folds,
    write_folds,
)

Names = list[tuple[str, str, str]]
name = st.integers(0, 12).map(lambda number: f"n{number}" if number else "")
many_groups = st.lists(st.tuples(name, name, name), min_size=2, max_size=40)


def campaigns(sizes: list[int]) -> Names:
    """Holes of heads that share nothing, so many of each."""
    return [
        (f"t{head}-{hole % 2}", f"h{head}", f"p{head}")
        for head, size in enumerate(sizes)
        for hole in range(size)
    ]


def plan_of(groups: Names, folds: int = 24, seed: int = 7) -> FoldPlan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewerFolds)
        return grouped_folds(groups, folds, seed)


def shares_nothing(groups: Names, *sides: np.ndarray) -> bool:
    return all(
        not {groups[place][kind] for place in one} & {groups[place][kind] for place in other} - {""}
        for kind in range(3)
        for number, one in enumerate(sides)
        for other in sides[number + 1 :]
    )


def test_components_join_through_any_shared_name() -> None:
    groups = [("t1", "h1", "p1"), ("t2", "h1", "p2"), ("t2", "h2", "p3"), ("t4", "h4", "p4")]
    assert connected_components(groups).tolist() == [0, 0, 0, 1]


def test_an_empty_name_ties_nothing_and_kinds_are_apart() -> None:
    assert connected_components([("", "a"), ("", "b"), ("a", "")]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_no_tool_head_or_panel_stands_on_both_sides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [(f"t{rng.integers(40)}", f"h{rng.integers(60)}", f"p{rng.integers(60)}") for _ in range(80)]
    split = hold_out(groups, 0.2, seed)
    if split.grouped:
        for kind in range(3):
            names = [{groups[place][kind] for place in side} for side in (split.train, split.held_out)]
            assert not names[0] & names[1]
    assert sorted([*split.train, *split.held_out]) == list(range(80))


def test_the_share_is_reached_and_both_sides_have_holes() -> None:
    split = hold_out([(f"t{place // 5}",) for place in range(50)], 0.2, 0)
    assert split.grouped
    assert (split.train.size, split.held_out.size) == (40, 10)


def test_a_component_larger_than_the_share_is_trained_on() -> None:
    groups = [("big",)] * 40 + [("small",)] * 15
    split = hold_out(groups, 0.2, 0)
    assert split.held_out.tolist() == list(range(40, 55))


def test_one_component_is_divided_by_hole_and_says_so() -> None:
    split = hold_out([("t", "h", "p")] * 20, 0.2, 0)
    assert not split.grouped
    assert split.held_out.size == 4


def test_refusals() -> None:
    with pytest.raises(InvalidConfig, match=r"share 1\.5"):
        hold_out([("a",), ("b",)], 1.5, 0)
    with pytest.raises(TooFewHoles):
        hold_out([("a",)], 0.2, 0)


def test_a_large_share_still_leaves_something_to_train_on() -> None:
    assert hold_out([("a",), ("b",)], 0.9, 0).train.size == 1


@given(many_groups)
def test_components_are_the_finest_division_that_shares_no_name(groups: Names) -> None:
    components = connected_components(groups)
    parts = [np.flatnonzero(components == number) for number in range(components.max() + 1)]
    assert all(part.size for part in parts)
    assert shares_nothing(groups, *parts)
    for part in parts:
        reached = {int(part[0])}
        for _ in part:
            known = {(kind, groups[hole][kind]) for hole in reached for kind in range(3)}
            reached |= {
                int(hole)
                for hole in part
                if any(groups[hole][kind] and (kind, groups[hole][kind]) in known for kind in range(3))
            }
        assert reached == set(part.tolist())


@given(many_groups, st.integers(2, 24), st.integers(0, 3))
@settings(deadline=None)
def test_every_hole_is_held_out_once_and_shares_nothing_with_its_training(
    groups: Names, folds: int, seed: int
) -> None:
    components = int(connected_components(groups).max()) + 1
    if components == 1:
        with pytest.raises(SingleComponent):
            grouped_folds(groups, folds, seed)
        return
    plan = plan_of(groups, folds, seed)
    assert len(plan.folds) == min(folds, components)
    assert sorted(np.concatenate([fold.held_out for fold in plan.folds])) == list(range(len(groups)))
    assert all(fold.held_out.size for fold in plan.folds)
    for fold in plan.folds:
        if len(groups) - fold.held_out.size < 2:
            continue
        split = plan.split(fold)
        everything = np.concatenate([split.train, split.validation, split.test])
        assert sorted(everything) == list(range(len(groups)))
        assert split.train.size
        assert split.validation.size
        assert shares_nothing(groups, np.append(split.train, split.validation), split.test)
        if split.grouped:
            assert shares_nothing(groups, split.train, split.validation)


def test_folds_are_of_like_size_and_the_same_for_the_same_seed() -> None:
    rng = np.random.default_rng(3)
    groups = campaigns(rng.integers(1, 40, 90).tolist())
    plan = grouped_folds(groups)
    sizes = [fold.held_out.size for fold in plan.folds]
    assert len(sizes) == 24
    assert plan.warning is None
    assert max(sizes) <= 1.2 * min(sizes)
    assert grouped_folds(groups).to_json() == plan.to_json()
    assert grouped_folds(groups, seed=8).to_json() != plan.to_json()


def test_fewer_components_make_fewer_folds_with_a_warning_in_words() -> None:
    with pytest.warns(FewerFolds, match="5 folds, not 24") as caught:
        plan = grouped_folds(campaigns([4] * 5))
    assert len(plan.folds) == 5
    assert plan.warning == str(caught[0].message)
    assert caught[0].filename == __file__


def test_validation_is_a_fifth_of_the_training_part_in_whole_components() -> None:
    plan = plan_of(campaigns([5] * 30), 6)
    split = plan.split(2)
    assert (split.train.size, split.validation.size, split.test.size) == (100, 25, 25)
    assert split.grouped
    assert plan.split(plan.folds[2], 0.4).validation.size == 50
    assert plan.split(2).validation.tolist() == split.validation.tolist()


def test_one_component_to_train_on_is_divided_by_hole_and_says_so() -> None:
    split = plan_of(campaigns([10, 10])).split(0)
    assert not split.grouped
    assert (split.train.size, split.validation.size, split.test.size) == (8, 2, 10)


def moved(plan: FoldPlan, hole: int) -> FoldPlan:
    """The plan with a hole held out by the fold after its own as well as, or instead of, its own."""
    own = next(fold for fold in plan.folds if hole in fold.held_out)
    after = plan.folds[(own.number + 1) % len(plan.folds)]
    changed = {
        own.number: Fold(own.number, np.setdiff1d(own.held_out, hole)),
        after.number: Fold(after.number, np.append(after.held_out, hole)),
    }
    return replace(plan, folds=tuple(changed.get(fold.number, fold) for fold in plan.folds))


@pytest.mark.parametrize(("kind", "shared"), [(0, "tool"), (1, "head"), (2, "panel")])
def test_a_leak_is_named_with_what_is_shared_and_by_whom(kind: int, shared: str) -> None:
    groups = [("", "", ""), ("", "", ""), ("", "", ""), ("", "", "")]
    plan = replace(plan_of(groups, 4), names=("a.xls", "b.xls", "c.xls", "d.xls"))
    check_no_leak(plan, groups)
    for hole in (0, 2):
        groups[hole] = tuple("X9" if place == kind else "" for place in range(3))
    with pytest.raises(LeakFound, match=rf"{shared} X9 is in folds \d, \d: holes a.xls, c.xls") as caught:
        check_no_leak(plan, groups)
    assert (caught.value.kind, caught.value.name) == (shared, "X9")
    assert caught.value.holes == ["a.xls", "c.xls"]
    assert isinstance(caught.value, DrillingError)


def test_a_hole_in_two_folds_or_in_none_is_found() -> None:
    groups = campaigns([3] * 6)
    plan = plan_of(groups, 3)
    with pytest.raises(LeakFound, match="is in folds"):
        check_no_leak(moved(plan, 4), groups)
    twice = replace(plan, folds=(*plan.folds, plan.folds[0]))
    with pytest.raises(LeakFound, match="hole 0 is in folds"):
        check_no_leak(twice, [("", "", "")] * 18)
    with pytest.raises(FoldsMismatch):
        check_no_leak(replace(plan, folds=plan.folds[1:]), groups)
    with pytest.raises(FoldsMismatch):
        check_no_leak(plan, groups[:-1])


def test_a_split_is_checked_too() -> None:
    groups = campaigns([3, 2, 4, 2])
    check_no_leak(hold_out(groups, 0.3, 0), groups)
    split = plan_of(groups, folds=4).split(0)
    check_no_leak(split, groups)
    stray = int(split.validation[0])
    leaky = replace(
        split, train=np.append(split.train, stray), validation=np.setdiff1d(split.validation, [stray])
    )
    with pytest.raises(LeakFound, match=r"head \w+ is in train, validation: holes ") as leak:
        check_no_leak(leaky, groups)
    assert leak.value.fields["folds"] == ["train", "validation"]
    assert str(stray) in leak.value.fields["holes"]
    twice = replace(split, train=np.append(split.train, split.test[0]))
    with pytest.raises(LeakFound, match="is in train, test"):
        check_no_leak(twice, [("",)] * len(groups))
    with pytest.raises(FoldsMismatch):
        check_no_leak(replace(split, train=split.train[1:]), groups)
    with pytest.raises(FoldsMismatch):
        check_no_leak(split, groups[:-1])


def test_a_split_that_is_not_grouped_does_not_pass_for_one_that_is() -> None:
    groups = [("t", "h", "p")] * 20
    with pytest.raises(LeakFound, match="tool t is in train, held_out"):
        check_no_leak(hold_out(groups, 0.2, 0), groups)


def test_copies_stay_in_their_holes_fold() -> None:
    groups = [("", "", "", f"hole{number // 4}.xls") for number in range(24)]
    plan = plan_of(groups, 3)
    fold_of = {place: fold.number for fold in plan.folds for place in fold.held_out.tolist()}
    assert all(len({fold_of[4 * hole + copy] for copy in range(4)}) == 1 for hole in range(6))
    plan = replace(plan, components=np.arange(24))
    with pytest.raises(LeakFound, match=r"origin hole0\.xls"):
        check_no_leak(moved(plan, 1), groups)


def test_a_stored_plan_survives_another_order_and_another_folder(tmp_path: Path) -> None:
    groups = campaigns([3, 5, 2, 4, 4])
    files = [Path("/data/one", f"{place:02d}.xls") for place in range(18)]
    plan = plan_of(groups, 4)
    write_folds(plan, files, tmp_path / "folds.json")
    assert "/data" not in (tmp_path / "folds.json").read_text()
    order = np.random.default_rng(0).permutation(18)
    again = read_folds(tmp_path / "folds.json", [f"/elsewhere/{files[place].name}" for place in order])
    check_no_leak(again, [groups[place] for place in order])
    for before, after in zip(plan.folds, again.folds, strict=True):
        assert {files[place].name for place in before.held_out} == {
            again.names[place] for place in after.held_out
        }
    assert again.components.tolist() == plan.components[order].tolist()
    unordered = read_folds(tmp_path / "folds.json")
    assert unordered.to_json() == plan_named(plan, files).to_json()


def plan_named(plan: FoldPlan, files: list[Path]) -> FoldPlan:
    return replace(plan, names=tuple(file.name for file in files))


def test_other_files_than_the_plans_are_named(tmp_path: Path) -> None:
    plan = grouped_folds(campaigns([1] * 3), 3, names=["a.xls", "b.xls", "c.xls"])
    write_folds(plan, plan.names, tmp_path / "folds.json")
    with pytest.raises(FoldsMismatch, match=r"1 holes of the plan are missing \['c.xls'\]") as caught:
        read_folds(tmp_path / "folds.json", ["a.xls", "b.xls", "new.xls"])
    assert caught.value.unplanned == ["new.xls"]
    with pytest.raises(FoldsMismatch):
        write_folds(plan, ["a.xls"], tmp_path / "other.json")
    with pytest.raises(InvalidConfig, match=r"several files are called a\.xls"):
        write_folds(plan, ["1/a.xls", "2/a.xls", "b.xls"], tmp_path / "other.json")


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read"):
        read_folds(tmp_path / "none.json")
    stored = json.loads(plan_of(campaigns([2] * 4), 4).to_json())
    one_fold = [hole | {"fold": 0} for hole in stored["holes"]]
    for change in ({"format": 9}, {"holes": []}, {"holes": one_fold}, {"holes": [{}]}, {"seed": None}):
        with pytest.raises(InvalidConfig, match="folds"):
            FoldPlan.from_json(json.dumps(stored | change))
    stored["holes"][0]["fold"] = (stored["holes"][0]["fold"] + 1) % 4
    with pytest.raises(LeakFound, match="component 0"):
        FoldPlan.from_json(json.dumps(stored))


def test_refusals_of_a_plan() -> None:
    with pytest.raises(InvalidConfig, match="1 folds"):
        grouped_folds(campaigns([2, 2]), 1)
    with pytest.raises(TooFewHoles):
        grouped_folds([("a",)], 2)
    with pytest.raises(SingleComponent, match="all 5 holes"):
        grouped_folds(campaigns([5]))
    with pytest.raises(FoldsMismatch):
        grouped_folds(campaigns([2, 2]), 2, names=["a.xls"])
    plan = plan_of(campaigns([2, 2]))
    with pytest.raises(InvalidConfig, match="no fold 2"):
        plan.split(2)
    with pytest.raises(InvalidConfig, match="share"):
        plan.split(0, 1.0)
    with pytest.raises(TooFewHoles):
        plan_of(campaigns([1, 1])).split(0)


def test_a_plan_is_limited_to_some_of_its_holes_and_their_order() -> None:
    groups = campaigns([3, 4, 5, 2])
    names = [f"hole-{number}.xls" for number in range(len(groups))]
    plan = grouped_folds(groups, 4, 7, names)
    chosen = [name for name in names if name not in names[:3]][::-1]
    few = plan.limited_to(chosen)
    assert few.names == tuple(chosen)
    assert len(few.folds) == 3, "the fold of the first campaign's holes goes"
    assert [fold.number for fold in few.folds] == [0, 1, 2]

    def by_name(of: FoldPlan) -> set[frozenset[str]]:
        return {frozenset(of.names[place] for place in fold.held_out.tolist()) for fold in of.folds}

    assert by_name(few) == {held for held in by_name(plan) if not held & set(names[:3])}
    assert few.split(0).test.size == few.folds[0].held_out.size
    for name, component in zip(few.names, few.components, strict=True):
        assert component == plan.components[names.index(name)]
    with pytest.raises(FoldsMismatch, match="1 holes are in no fold"):
        plan.limited_to([*chosen, "new.xls"])
