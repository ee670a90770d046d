"""Work shared with other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain, count, islice

import pytest

from drilling.processes import in_processes


def _doubled(number: int) -> int:
    return 2 * number


def _refusing(number: int) -> int:
    if number == 5:
        raise ValueError("five")
    return number


def _process(_: int) -> int:
    return os.getpid()


def test_outcomes_come_in_the_order_of_the_items_in_chunks() -> None:
    outcomes = list(in_processes(_doubled, range(10), chunk=4, workers=2))
    assert outcomes == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18]]
    assert list(in_processes(_doubled, [], chunk=4, workers=2)) == []


def test_an_endless_stream_is_taken_a_little_ahead_only() -> None:
    taken: list[int] = []
    items = (taken.append(number) or number for number in count())
    outcomes = chain.from_iterable(in_processes(_doubled, items, chunk=2, workers=2))
    assert list(islice(outcomes, 6)) == [0, 2, 4, 6, 8, 10]
    assert len(taken) <= 6 + 2 * 2 * 2 + 2


def test_the_work_is_done_elsewhere() -> None:
    assert os.getpid() not in set(chain.from_iterable(in_processes(_process, range(8), chunk=1, workers=2)))


def test_an_error_of_the_work_is_raised_here() -> None:
    with pytest.raises(ValueError, match="five"):
        list(in_processes(_refusing, range(10), chunk=1, workers=2))


def test_a_script_without_a_main_guard_is_not_run_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    script = tmp_path / "script.py"
    script.write_text(
        "from math import sqrt\nfrom drilling.processes import in_processes\n"
        "print('once')\nprint(list(in_processes(sqrt, [4.0, 9.0], chunk=1, workers=2)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("once\n[[2.0], [3.0]]\n", "")
