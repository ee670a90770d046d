"""Stop codes bit by bit, their combinations, and how the steps of a log ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from drilling.errors import InvalidConfig
from drilling.setitec import SetitecLog, read_log
from drilling.stop_codes import StopCode, decode, describe, step_ends, unknown_bits
from drilling.synthetic import make_hole

UNKNOWN = 0x1000000


@pytest.fixture(scope="module")
def log() -> SetitecLog:
    return read_log(make_hole(0, holes=40, seed=7).content)


def with_steps(log: SetitecLog, step: Sequence[int | None], code: Sequence[int | None]) -> SetitecLog:
    schema = {"index": pl.Int64, "step": pl.Int64, "stop_code": pl.Int64}
    rows = {"index": range(len(step)), "step": step, "stop_code": code}
    return dataclasses.replace(log, signals=pl.DataFrame(rows, schema=schema))


@pytest.mark.parametrize("code", list(StopCode))
def test_each_bit_has_one_reason_in_words(code: StopCode) -> None:
    (reason,) = decode(int(code))
    assert reason.code is code
    assert reason.meaning.endswith(".")
    assert describe(code) == reason.meaning


def test_the_bits_are_those_of_the_format() -> None:
    assert [int(code) for code in StopCode] == [1 << bit for bit in range(24)]
    assert (StopCode.TORQUE_MIN, StopCode.THRUST_MIN) == (2048, 4096)  # an older table swaps them


@pytest.mark.parametrize(
    ("code", "ends", "normal"),
    [
        (1, "step", True),
        (2, "cycle", False),
        (4, "step", True),
        (8, "cycle", True),
        (64, "step", True),
        (128, "cycle", False),
        (2048, "step", True),
        (4096, "step", True),
        (8192, "cycle", True),
        (0x80000, "step", True),
    ],
)
def test_what_a_code_ends_and_whether_it_is_usual(code: int, ends: str, normal: bool) -> None:
    (reason,) = decode(code)
    assert (reason.ends, reason.normal) == (ends, normal)


def test_combined_bits_have_a_reason_each() -> None:
    reasons = decode(131074)
    assert [reason.code for reason in reasons] == [StopCode.TORQUE_LIMIT, StopCode.MOTOR_1_SHORT_CIRCUIT]
    assert not any(reason.normal for reason in reasons)
    assert describe(131074) == f"{reasons[0].meaning} {reasons[1].meaning}"


def test_no_bit_is_no_stop() -> None:
    assert decode(0) == ()
    assert describe(0) == "No stop."


def test_whole_numbers_of_numpy_count() -> None:
    assert decode(np.int64(64)) == decode(64)


def test_unknown_bits_are_an_error_when_decoded_and_can_be_asked_for() -> None:
    assert unknown_bits(UNKNOWN | 8) == UNKNOWN
    assert unknown_bits(131074) == 0
    assert describe(UNKNOWN | 64) == "The step's stroke was reached. Bits that are not known: 0x1000000."
    with pytest.raises(InvalidConfig, match="stop code: 16777224 has bits that are not known: 0x1000000"):
        decode(UNKNOWN | 8)


@pytest.mark.parametrize("function", [decode, describe, unknown_bits])
@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (-8, "-8 is negative"),
        (True, "True is a truth value"),
        (np.True_, "True is a truth value"),
        (8.0, "8.0 is not a whole number"),
        ("8", "'8' is not a whole number"),
        (None, "None is not a whole number"),
    ],
)
def test_what_is_no_code_is_refused(function: Any, code: Any, problem: str) -> None:
    with pytest.raises(InvalidConfig, match=f"stop code: {problem}"):
        function(code)


def test_the_steps_of_generated_holes_end_with_known_codes_and_cover_the_log() -> None:
    for number in range(0, 40, 5):
        log = read_log(make_hole(number, holes=40, seed=7).content)
        ends = step_ends(log)
        steps = log.signals["step"].to_list()
        assert [end.first_index for end in ends] == [0, *(end.last_index + 1 for end in ends[:-1])]
        assert ends[-1].last_index == log.signals.height - 1
        assert [end.step for end in ends] == [steps[end.first_index] for end in ends]
        assert all(end.code == log.signals["stop_code"][end.last_index] for end in ends)
        assert all(end.reasons == decode(end.code) for end in ends)


def test_the_code_is_the_last_one_in_the_final_rows(log: SetitecLog) -> None:
    codes = [1, 0, 0, 0, 0, 0, 4, 0, 64, 0, 0, 0]
    (early, late) = step_ends(with_steps(log, [2] * 6 + [3] * 6, codes))
    assert (early.step, early.code, early.reasons) == (2, 0, ())
    assert (late.step, late.code) == (3, 64)
    assert (late.first_index, late.last_index) == (6, 11)


def test_a_step_that_comes_twice_ends_twice(log: SetitecLog) -> None:
    ends = step_ends(with_steps(log, [2, 2, 3, 2], [0, 1, 64, 8]))
    assert [(end.step, end.code) for end in ends] == [(2, 1), (3, 64), (2, 8)]


def test_empty_cells_belong_to_the_step_around_them(log: SetitecLog) -> None:
    ends = step_ends(with_steps(log, [None, 2, None, 3, None], [None, None, 4, 64, None]))
    assert [(end.step, end.code, end.last_index) for end in ends] == [(2, 4, 2), (3, 64, 4)]


def test_a_log_without_step_numbers_is_one_run(log: SetitecLog) -> None:
    (end,) = step_ends(with_steps(log, [None, None], [0, 8]))
    assert (end.step, end.code, end.first_index, end.last_index) == (None, 8, 0, 1)


def test_a_log_without_samples_has_no_ends(log: SetitecLog) -> None:
    assert step_ends(with_steps(log, [], [])) == ()


def test_unknown_bits_in_a_log_are_kept_and_do_not_raise(log: SetitecLog) -> None:
    (end,) = step_ends(with_steps(log, [2], [UNKNOWN | 8]))
    assert end.code == UNKNOWN | 8
    assert [reason.code for reason in end.reasons] == [StopCode.THRUST_LIMIT]
