"""Requests that are answered by one call of the model, and those that must not be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops.serving.batching import Batcher, Ran

Arrays = Mapping[str, NDArray[Any]]


class Model:
    """Twice x, row by row; its calls can be held back, and are noted by their rows."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.gate = threading.Event()
        self.entered = threading.Event()

    def __call__(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        self.calls.append(len(arrays["x"]))
        self.entered.set()
        assert self.gate.wait(10)
        if (arrays["x"] == 13).any():
            raise ValueError("thirteen")
        return {"y": 2 * arrays["x"]}


def asked_while_busy(model: Model, batcher: Batcher, rows: list[Arrays]) -> list[Future[Ran]]:
    """Ask for one row, and while the model is at it for all the others."""
    pool = ThreadPoolExecutor(len(rows) + 1)
    first = pool.submit(batcher, {"x": np.zeros((1, 2))})
    assert model.entered.wait(10)
    others = [pool.submit(batcher, arrays) for arrays in rows]
    until(lambda: len(batcher._waiting) == len(rows))
    model.gate.set()
    pool.shutdown()
    assert first.result().together == 1
    return others


def until(condition: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(1000):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError("it never came")


def x(*values: float, width: int = 2) -> Arrays:
    return {"x": np.repeat(np.array(values)[:, None], width, axis=1)}


def test_what_came_while_the_model_worked_is_its_next_call() -> None:
    model = Model()
    found = asked_while_busy(model, Batcher(model, 64), [x(1, 2), x(3), x(4, 5, 6)])
    assert model.calls == [1, 6]
    assert [one.result().outputs["y"][:, 0].tolist() for one in found] == [[2, 4], [6], [8, 10, 12]]
    assert [one.result().together for one in found] == [3, 3, 3]
    assert all(one.result().waited > 0 for one in found)


def test_one_alone_is_a_call_of_its_own() -> None:
    model = Model()
    model.gate.set()
    ran = Batcher(model, 64)(x(1))
    assert (model.calls, ran.together, ran.outputs["y"].tolist()) == ([1], 1, [[2, 2]])


def test_a_batch_holds_at_most_so_many_rows() -> None:
    model = Model()
    asked_while_busy(model, Batcher(model, 4), [x(1, 2, 3), x(4, 5), x(6), x(7, 8, 9, 10, 11)])
    assert sorted(model.calls[1:]) == [2, 4, 5] or sorted(model.calls[1:]) == [3, 3, 5], "the large one alone"
    assert sum(model.calls) == 12


def test_other_shapes_and_arrays_without_rows_in_common_are_not_joined() -> None:
    model = Model()
    odd = {"x": np.ones((2, 2)), "z": np.ones((3, 1))}
    scalar = {"x": np.ones((1, 2)), "z": np.array(1.0)}
    found = asked_while_busy(model, Batcher(model, 64), [x(1), x(2, width=3), odd, scalar, x(3)])
    assert sorted(model.calls[1:]) == [1, 1, 2, 2]
    assert [one.result().together for one in found] == [2, 1, 1, 1, 2]


def test_one_that_fails_spoils_no_other() -> None:
    model = Model()
    good, bad, other = asked_while_busy(model, Batcher(model, 64), [x(1), x(13), x(3)])
    assert good.result().outputs["y"].tolist() == [[2, 2]]
    assert other.result().outputs["y"].tolist() == [[6, 6]]
    with pytest.raises(ValueError, match="thirteen"):
        bad.result()


def test_a_model_that_answers_for_all_rows_at_once_is_asked_for_each_request() -> None:
    model = Model()

    def mean(arrays: Arrays) -> dict[str, NDArray[Any]]:
        return {"mean": np.array([model(arrays)["y"].mean()])}

    found = asked_while_busy(model, Batcher(mean, 64), [x(1), x(3)])
    assert [one.result().outputs["mean"].tolist() for one in found] == [[2], [6]]
    assert [one.result().together for one in found] == [1, 1]


def test_many_threads_get_each_its_own() -> None:
    batcher = Batcher(lambda arrays: {"y": 2 * arrays["x"]}, 8)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda value: batcher(x(value)).outputs["y"][0, 0], range(2000)))
    assert found == [2 * value for value in range(2000)]
