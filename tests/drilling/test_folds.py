"""Grouped hold-out: nothing leaks."""

from __future__ import annotations

import numpy as np
import pytest

from drilling.errors import InvalidConfig, TooFewHoles
from drilling.folds import connected_components, hold_out


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
