"""When a canary is worse than its champion."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.serving.canary import CanaryRule, verdict
from mlops.store.traffic import Traffic

RULE = CanaryRule(min_requests=100, more_errors=0.02, slower=1.5)


def traffic(requests: int, errors: int = 0, *, seconds: float = 0.004, seed: int = 0) -> Traffic:
    made, rng = Traffic(), np.random.default_rng(seed)
    for number in range(requests):
        made.record(seconds * rng.lognormal(0, 0.3), failed=number < errors)
    return made


def test_as_good_as_the_champion_stays() -> None:
    assert verdict(traffic(500, 3), traffic(5000, 30), RULE) is None


def test_too_few_requests_judge_nothing() -> None:
    assert verdict(traffic(99, 99), traffic(5000), RULE) is None
    assert verdict(traffic(500, 500), traffic(99), RULE) is None


def test_more_errors_withdraw_it_with_the_figures() -> None:
    why = verdict(traffic(200, 20), traffic(1800, 2), RULE)
    assert why == "20 of its 200 requests failed, of the champion's 2 of 1800"


def test_a_few_unlucky_errors_do_not() -> None:
    assert verdict(traffic(100, 4), traffic(900, 0), RULE) is None, "4 % of 100 may be 1.6 %"


def test_a_slower_one_is_withdrawn() -> None:
    why = verdict(traffic(200, seconds=0.012), traffic(1800), RULE)
    assert why is not None
    assert "95th percentile of latency is over 15 ms, the champion's at most 7.5 ms" in why
    assert verdict(traffic(200, seconds=0.0045), traffic(1800), RULE) is None


def test_the_next_wider_bucket_is_not_slower() -> None:
    ours, theirs = Traffic(), Traffic()
    for number in range(200):
        ours.record(0.0301 if number % 10 == 0 else 0.004, failed=False)
        theirs.record(0.0299 if number % 10 == 0 else 0.004, failed=False)
    assert (ours.quantile(0.95), theirs.quantile(0.95)) == (0.05, 0.03)
    assert verdict(ours, theirs, RULE) is None


def test_a_few_late_answers_do_not_withdraw_it() -> None:
    ours = Traffic()
    for number in range(100):
        ours.record(0.5 if number < 6 else 0.004, failed=False)
    assert ours.quantile(0.95) == 0.5
    assert verdict(ours, traffic(900), RULE) is None, "of 100 the 95th percentile may be the 91st"


@pytest.mark.parametrize("seed", range(20))
def test_equals_are_not_withdrawn_by_chance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = (
        traffic(count, int(rng.binomial(count, 0.03)), seed=seed + place)
        for place, count in enumerate((300, 3000))
    )
    assert verdict(ours, theirs, RULE) is None
