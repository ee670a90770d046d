"""Tables, ages and JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.cli.output import age, emit_table, table, to_json
from mlops.entities import ServiceState, ServiceStatus


def test_table_aligns_columns_and_leaves_no_trailing_space() -> None:
    text = table([["NAME", "STATE", "PORT"], ["mlflow", "healthy", "1"], ["ray", "stopped", ""]])
    assert text.splitlines() == ["NAME    STATE    PORT", "mlflow  healthy  1", "ray     stopped"]


_cells = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(_cells, min_size=n, max_size=n), min_size=1)))
def test_table_splits_back_into_its_cells(rows: list[list[str]]) -> None:
    assert [line.split() for line in table(rows).splitlines()] == rows


def test_rows_of_unequal_length_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        table([["A", "B"], ["1", "2", "3"]])


def test_empty_table_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    emit_table([], False, "Nothing yet: do this.")
    assert capsys.readouterr().out == "Nothing yet: do this.\n"
    emit_table([], True, "Nothing yet: do this.")
    assert json.loads(capsys.readouterr().out) == []


def test_table_shows_missing_values_as_a_dash_and_zero_as_zero(capsys: pytest.CaptureFixture[str]) -> None:
    emit_table([{"A": None, "B": "", "C": 0, "D": False}], False, "")
    assert capsys.readouterr().out.splitlines()[1].split() == ["-", "-", "0", "False"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h 00 min"),
        (3600 + 3 * 60, "1 h 03 min"),
        (86399, "23 h 59 min"),
        (86400, "1 d 00 h"),
        (2 * 86400 + 4 * 3600, "2 d 04 h"),
        (400 * 86400, "400 d 00 h"),
    ],
)
def test_age_is_in_its_two_largest_units(seconds: int, text: str) -> None:
    assert age(datetime.now(UTC) - timedelta(seconds=seconds + 0.2)) == text


def test_age_of_nothing_is_a_dash() -> None:
    assert age(None) == "-"


def test_json_holds_entities_times_and_paths() -> None:
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    status = ServiceStatus("ray", ServiceState.HEALTHY, since=since)
    shown = json.loads(to_json({"services": [status], "home": Path("/x")}))
    assert shown["home"] == "/x"
    assert shown["services"][0]["state"] == "healthy"
    assert shown["services"][0]["since"] == "2026-01-02T03:04:05+00:00"
    assert shown["services"][0]["pid"] is None
