"""A project's own features in a replica: made, bounded, and never in the way of an answer."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops import features
from mlops.serving.own_features import OwnFeatures
from mlops.serving.runtimes.functions import CODE, DECLARATION, feature_maker

X = {"x": np.arange(6.0).reshape(3, 2)}
Y = {"y": np.array([1.0, np.nan, 3.0])}


def total(inputs: Any, outputs: Any) -> Any:
    return {"inputs": {"total": inputs["x"].sum(axis=1)}, "outputs": {"y": outputs["y"]}}


def test_the_projects_features_take_the_place_of_the_usual() -> None:
    told = json.loads(features.told(X, Y, 0.0, OwnFeatures(total)))
    assert (told["inputs"], told["outputs"]) == ({"total": [1, 5, 9]}, {"y": [1, None, 3]})
    assert features.sampled(X, Y, 2, features.by(total))["inputs"] == {"total": [1, 9]}


def test_what_it_gets_is_a_copy() -> None:
    def spoil(inputs: Any, outputs: Any) -> Any:
        inputs["x"][:] = 0
        return total(inputs, outputs)

    features.told(X, Y, 0.0, OwnFeatures(spoil))
    assert X["x"].tolist() == [[0, 1], [2, 3], [4, 5]]


def ends(inputs: Any, outputs: Any) -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (ends, "SystemExit"),
        (lambda inputs, outputs: inputs["gone"], "KeyError"),
        (lambda inputs, outputs: None, "no mapping"),
        (lambda inputs, outputs: {"other": {}}, "no mapping"),
        (lambda inputs, outputs: {"inputs": [1]}, "are no mapping"),
        (lambda inputs, outputs: {"inputs": {"a": 1.0}}, "has shape"),
        (lambda inputs, outputs: {"inputs": {"a": [1, 2]}}, "has shape"),
        (lambda inputs, outputs: {"inputs": {1: [1, 2, 3]}}, "feature 1"),
        (lambda inputs, outputs: {"inputs": {"a": [1j, 2, 3]}}, "complex"),
        (lambda inputs, outputs: {"inputs": {"a": [object()] * 3}}, "object"),
        (lambda inputs, outputs: {"inputs": {str(n): [1] * 3 for n in range(999)}}, "more than"),
    ],
)
def test_one_that_fails_costs_a_warning_alone(
    function: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = OwnFeatures(function)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert features.told(X, Y, 0.0, own) == features.told(X, Y, 0.0)
    (record,) = caplog.records
    assert why in record.getMessage()


def test_one_that_hangs_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    go, calls = threading.Event(), []

    def hang(inputs: Any, outputs: Any) -> Any:
        calls.append(1)
        go.wait(60)
        return total(inputs, outputs)

    own = OwnFeatures(hang, limit_s=0.05, pause_s=0.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert features.told(X, Y, 0.0, own) == features.told(X, Y, 0.0)
    assert len(calls) == 1, "what is stuck is not asked again"
    assert "takes longer than 0.05 s" in caplog.text
    go.set()


def test_the_bento_says_which_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert feature_maker(tmp_path) is None
    package = tmp_path / CODE / "watched_lines"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def features(inputs, outputs):\n    return {}\n")
    (tmp_path / DECLARATION).write_text(json.dumps({"features": "watched_lines:features"}))
    made = feature_maker(tmp_path)
    assert made is not None
    assert made(X, Y) == {}
    (tmp_path / DECLARATION).write_text(json.dumps({"features": "watched_lines.gone:features"}))
    assert feature_maker(tmp_path) is None
    assert "cannot be made" in caplog.text
