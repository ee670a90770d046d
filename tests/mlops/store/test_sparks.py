"""The course of a metric in a few buckets: kept little by little as it would be at once."""

from __future__ import annotations

import math
import random

import pytest

from mlops.store.sparks import BUCKETS, Spark, width_of


@pytest.mark.parametrize(
    ("step", "width"), [(-5, 1), (0, 1), (15, 1), (16, 2), (31, 2), (32, 4), (2**62, 2**59)]
)
def test_buckets_reach_as_far_as_the_last_step(step: int, width: int) -> None:
    assert width_of(step) == width


def test_what_comes_little_by_little_is_what_comes_at_once() -> None:
    dice = random.Random(3)
    for _ in range(50):
        values = {step: dice.choice((dice.random(), 0.0, -1e300)) for step in range(dice.randrange(1, 200))}
        values = {step: value for step, value in values.items() if dice.random() < 0.7 or step == 0}
        spark, done = Spark("loss", 1), 0
        while done < len(values):
            some = list(values.items())[done : done + dice.randrange(1, 40)]
            done += len(some)
            width = width_of(some[-1][0])
            spark = spark.with_values(width, [(step // width, value, value) for step, value in some])
        for place in range(BUCKETS):
            there = [value for step, value in values.items() if step // spark.width == place]
            found = (spark.least[place], spark.greatest[place])
            assert found == (min(there), max(there)) if there else all(map(math.isnan, found))


def test_a_curve_is_drawn_the_way_it_goes() -> None:
    falling = Spark("loss", 2).with_values(2, [(0, 0.7, 0.9), (1, 0.4, 0.6), (3, 0.1, 0.1)])
    assert falling.values() == [0.9, 0.7, 0.6, 0.4, 0.1]
    rising = Spark("acc", 2).with_values(2, [(0, 0.1, 0.3), (1, 0.4, 0.6)])
    assert rising.values() == [0.1, 0.3, 0.4, 0.6]
    assert Spark("loss", 1).values() == []
