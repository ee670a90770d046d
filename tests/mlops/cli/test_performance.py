"""Files of ground truths as commands read them; what is logged and shown is tried in tests/stack."""

from __future__ import annotations

import io
from typing import Any

import pytest

from mlops.cli.performance import _items
from mlops.errors import InvalidInput


def read(text: str, model: str = "") -> list[dict[str, Any]]:
    return list(_items(io.StringIO(text), model))


def test_lines_of_one_request_are_its_rows() -> None:
    found = read('request_id,depth,grade\nr-1,3.2,good\nr-1,,"a, b"\nr-2,4,007\n\nr-1,1,x\n')
    assert [(each["request_id"], each["truth"]) for each in found] == [
        ("r-1", {"depth": [3.2, None], "grade": ["good", "a, b"]}),
        ("r-2", {"depth": [4], "grade": ["007"]}),
        ("r-1", {"depth": [1], "grade": ["x"]}),
    ]


def test_a_files_own_model_counts_before_the_options() -> None:
    found = read("request_id,model,y\nr-1,net,1\nr-1,,2\n", "other")
    assert [(each["model"], each["truth"]["y"]) for each in found] == [("net", [1]), ("other", [2])]


def test_json_lines_are_as_they_are() -> None:
    assert read('{"request_id": "r-1", "truth": {"y": [1, null]}}\n\n', "net") == [
        {"request_id": "r-1", "truth": {"y": [1, None]}, "model": "net"}
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("y\n1\n", 1),
        ("request_id\nr-1\n", 1),
        ("request_id,y\nr-1,1,2\n", 2),
        ("{}\n{\n", 2),
        ("{}\n3\n", 2),
    ],
)
def test_a_wrong_line_is_named(text: str, line: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(text)
    assert f"line {line}" in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("mlops:ground-truth", "log"),
        ("mlops:ground-truth", "load"),
        ("mlops:ground-truth", "show"),
        ("mlops:performance",),
    ],
)
def test_each_has_an_example(invoke, arguments: tuple[str, ...]) -> None:
    assert f"Example: efficientai-toolkit {' '.join(arguments)}" in invoke(*arguments, "--help").out
