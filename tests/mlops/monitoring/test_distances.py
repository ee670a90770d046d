"""Distances between two samples, and the thresholds that chance keeps below."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency

from mlops.monitoring import distances

numbers = st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=30)
counts = st.lists(st.integers(0, 40), min_size=2, max_size=6).filter(any)


@settings(deadline=None)
@given(numbers, numbers)
def test_the_gap_of_distributions_is_the_greatest(one: list[float], other: list[float]) -> None:
    found = distances.ks_distance(np.array(one), np.array(other))
    shares = [[np.mean(np.array(side) <= place) for place in one + other] for side in (one, other)]
    assert found == pytest.approx(max(abs(a - b) for a, b in zip(*shares, strict=True)))


@settings(deadline=None)
@given(st.data(), counts)
def test_the_distance_of_equal_samples_is_the_usual_one(data: st.DataObject, one: list[int]) -> None:
    other = data.draw(st.permutations(one))
    assert distances.js_distance(one, other) == pytest.approx(jensenshannon(one, other), abs=1e-6)


@settings(deadline=None)
@given(st.data(), counts)
def test_the_distance_is_the_likelihood_ratios(data: st.DataObject, one: list[int]) -> None:
    other = data.draw(st.lists(st.integers(1, 40), min_size=len(one), max_size=len(one)))
    ratio = chi2_contingency([one, other], correction=False, lambda_="log-likelihood").statistic
    found = distances.js_distance(one, other)
    assert 8 * found**2 / (1 / sum(one) + 1 / sum(other)) == pytest.approx(ratio, abs=1e-6)


def test_samples_without_a_common_category_are_as_far_apart_as_can_be() -> None:
    assert distances.js_distance([7, 0], [0, 7]) == pytest.approx(math.sqrt(math.log(2)))
    assert distances.js_distance([700, 0], [0, 7]) > 0.5


@pytest.mark.parametrize(("reference", "rows"), [(100, 50), (1000, 50), (2000, 2000)])
def test_chance_stays_below_the_threshold_of_numbers(reference: int, rows: int) -> None:
    rng = np.random.default_rng(5)
    limit = distances.ks_threshold(0.05, reference, rows)
    found = [distances.ks_distance(rng.random(reference), rng.random(rows)) >= limit for _ in range(1000)]
    assert 0.01 < np.mean(found) <= 0.065


@pytest.mark.parametrize(("reference", "rows"), [(200, 100), (5000, 200), (2000, 2000)])
@pytest.mark.parametrize("shares", [[0.5, 0.3, 0.2], [0.7, 0.1, 0.1, 0.05, 0.05]])
def test_chance_stays_about_the_threshold_of_categories(
    reference: int, rows: int, shares: list[float]
) -> None:
    rng = np.random.default_rng(5)
    limit = distances.js_threshold(0.05, len(shares), reference, rows)
    found = [
        distances.js_distance(rng.multinomial(reference, shares), rng.multinomial(rows, shares)) >= limit
        for _ in range(2000)
    ]
    assert 0.03 < np.mean(found) < 0.075


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_chance_stays_about_the_threshold_of_a_rise(share: float) -> None:
    rng = np.random.default_rng(5)
    limit = distances.rise_threshold(0.01, 5000, 400)
    found = [
        distances.rise(rng.binomial(5000, share), 5000, rng.binomial(400, share), 400) >= limit
        for _ in range(4000)
    ]
    assert np.mean(found) < 0.02


def test_a_share_that_falls_does_not_rise() -> None:
    assert distances.rise(50, 100, 10, 100) == 0
    assert distances.rise(50, 100, 50, 100) == 0
    assert distances.rise(10, 100, 50, 100) > 0.2


def test_a_rise_has_the_distance_it_would_be_given() -> None:
    assert distances.distance_of_rise(0.1, 200, 1000, 500) == pytest.approx(
        distances.rise(200, 1000, 150, 500)
    )
    assert distances.distance_of_rise(0.5, 900, 1000, 500) == pytest.approx(
        distances.rise(900, 1000, 500, 500)
    )
    assert distances.distance_of_rise(0, 200, 1000, 500) == pytest.approx(0, abs=1e-7)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_thresholds_fall_with_the_rows_and_rise_with_the_demands(
    zeros: int, reference: int, rows: int
) -> None:
    level = 10.0**-zeros
    for threshold in (
        distances.ks_threshold,
        distances.rise_threshold,
        lambda *given: distances.js_threshold(given[0], 5, *given[1:]),
    ):
        here = threshold(level, reference, rows)
        assert threshold(level, reference * 2, rows * 2) < here < threshold(level / 10, reference, rows)


def test_rare_categories_go_together() -> None:
    reference, current = ["a"] * 100 + ["b"] * 3 + ["c"], ["a"] * 50 + ["d"] * 2
    kept = distances.pooled(reference, current)
    assert kept == {"a"}
    assert distances.counted(reference, kept) == {"a": 100, distances.RARE: 4}
    assert distances.counted(current, kept) == {"a": 50, distances.RARE: 2}


def test_one_value_alone_is_less_likely_the_longer_it_lasts() -> None:
    assert distances.chance_of_one_value(1, 3, 1) == pytest.approx(-math.log10(2 / 4))
    assert distances.chance_of_one_value(1, 3, 2) == pytest.approx(-math.log10(2 / 4 * 3 / 5))
    assert distances.chance_of_one_value(500, 1000, 50) == pytest.approx(50 * math.log10(2), rel=0.1)
    assert distances.chance_of_one_value(1000, 1000, 50) == pytest.approx(0)
