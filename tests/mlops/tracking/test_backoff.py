"""Pauses between tries."""

from __future__ import annotations

import random

from mlops.tracking.backoff import pause_s


def test_pauses_grow_up_to_ten_seconds() -> None:
    for failures, longest in ((1, 0.4), (2, 0.8), (3, 1.6), (6, 10.0), (100_000, 10.0)):
        pauses = {pause_s(failures) for _ in range(50)}
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(pauses) > 1


def test_a_programs_seeded_numbers_stay_as_they_are() -> None:
    before = random.getstate()
    pause_s(3)
    assert random.getstate() == before
