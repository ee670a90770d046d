"""The rules of what a run takes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InvalidInput
from mlops.tracking.records import check_artifact, check_metrics, check_records, check_tags


@given(
    metrics=st.dictionaries(st.from_regex(r"\A[a-z]{1,9}\Z"), st.floats() | st.integers(-(10**300), 10**300))
)
def test_every_number_is_taken(metrics: dict[str, float]) -> None:
    numbers, step = check_metrics(metrics, 3)
    assert step == 3
    assert list(numbers) == list(metrics)
    for key, value in metrics.items():
        assert numbers[key] == float(value) or math.isnan(numbers[key])


@given(key=st.text(max_size=260), value=st.text(max_size=10))
def test_a_key_is_taken_or_refused_by_name(key: str, value: str) -> None:
    try:
        assert check_tags({key: value}) == {key: value}
    except InvalidInput as error:
        named = str(error)
    else:
        return
    assert "tags" in named


@pytest.mark.parametrize(
    ("params", "tags", "named"),
    [
        ({"p": "x" * 6001}, {}, "params[p]"),
        ({}, {"t": "x" * 8001}, "tags[t]"),
        ({"p": "a\0b"}, {}, "params[p]"),
        ({}, {"t": "\ud800"}, "tags[t]"),
    ],
)
def test_texts_too_long_or_broken_are_refused(
    params: dict[str, Any], tags: dict[str, str], named: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_records(params, None, tags, 0, None)
    assert named in str(caught.value)


@pytest.mark.parametrize("below", ["/etc", "..", "a/../../b", "a\\b", "a%2e"])
def test_no_artifact_leaves_its_run(tmp_path: Path, below: str) -> None:
    with pytest.raises(InvalidInput, match="artifact_path"):
        check_artifact(tmp_path, below)


@pytest.mark.parametrize(("below", "normal"), [(None, None), ("", None), (".", None), ("a//b/", "a/b")])
def test_where_an_artifact_goes(tmp_path: Path, below: str | None, normal: str | None) -> None:
    assert check_artifact(tmp_path, below) == normal
