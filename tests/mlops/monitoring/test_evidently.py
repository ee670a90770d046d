"""Evidently's page: what it draws is what the rows say, and nothing keeps it from being written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.entities import DriftCheck
from mlops.monitoring.base import DriftSettings
from mlops.monitoring.evidently import EvidentlyMonitor, drawn, snapshot
from mlops.monitoring.sample import Sample, SampledColumn


def sample(**columns: list) -> Sample:
    found = tuple(SampledColumn.of(name, "inputs", values) for name, values in columns.items())
    return Sample(found, max((len(column.values) for column in found), default=0))


def streams() -> tuple[Sample, Sample]:
    rng = np.random.default_rng(2)
    return tuple(
        sample(
            calm=rng.normal(size=rows).tolist(),
            moved=rng.normal(by, size=rows).tolist(),
            gaps=[None if gone else 1.0 * gone for gone in rng.random(rows) < 0.2],
            kind=rng.choice(["a", "b", "c"], p=[0.8 - by, 0.1 + by, 0.1], size=rows).tolist(),
            rare=[f"kind {value}" for value in rng.zipf(1.5, size=rows)],
            words=[f"{place}".rjust(5 + place % 9) for place in range(rows)],
            short=[1.0] * 5,
        )
        for rows, by in ((800, 0.0), (600, 0.6))
    )


def test_evidently_says_of_each_column_what_the_rows_say() -> None:
    reference, current = streams()
    report = EvidentlyMonitor().report(reference, current, DriftSettings())
    rows = {
        row.column: row
        for row in report.columns
        if row.check is DriftCheck.DISTRIBUTION and row.score is not None
    }
    columns = drawn(reference, current, report)
    told = json.loads(snapshot(columns).json())["metrics"]
    names = [column.name.removeprefix("inputs: ").removesuffix(" (length)") for column in columns]
    assert set(names) == set(rows) == {"calm", "moved", "gaps", "kind", "rare", "words"}
    assert [metric["value"] for metric in told] == pytest.approx([rows[name].score for name in names])
    assert [metric["config"]["threshold"] for metric in told] == pytest.approx(
        [rows[name].threshold for name in names]
    )
    assert set(names[:2]) == {"moved", "kind"}
    assert [row.drifted for row in (rows[name] for name in names)] == [True] * 2 + [False] * 4


def draw(reference: Sample, current: Sample, page: Path) -> None:
    monitor = EvidentlyMonitor()
    report = monitor.report(reference, current, DriftSettings())
    monitor.draw(reference, current, report).write_page(page)


def test_the_page_is_evidentlys_and_whole(tmp_path: Path) -> None:
    reference, current = streams()
    page = tmp_path / "new" / "report.html"
    draw(reference, current, page)
    text = page.read_text()
    assert "Kolmogorov-Smirnov distance" in text
    assert "inputs: moved" in text
    assert "Data drift detected" in text
    assert text.rstrip().endswith("</html>")
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        ({}, {}),
        ({"x": [1.0]}, {}),
        ({"x": [1.5] * 99}, {"x": [1.5] * 99}),
        ({"x": [1e16, 1e16 + 2] * 50}, {"x": [1e16, 1e16 + 4] * 50}),
        ({"x": [0.0, 5e-324] * 50}, {"x": [0.0, 5e-324] * 50}),
        ({"x": [10**400, -(10**400)] * 50}, {"x": [10**400, 1] * 50}),
        ({"x": ["</script><script>alert(1)", "b"] * 50}, {"x": ["</script><script>alert(1)", "b"] * 50}),
        ({"<script>alert(1)</script><b>": [1.0, 2.5] * 50}, {"<script>alert(1)</script><b>": [1.0] * 50}),
        ({"x": ["nan", "None", ""] * 50}, {"x": ["nan", "None", ""] * 50}),
        ({"a\nb: 'c'\"": [1.0, 2.5] * 50}, {"a\nb: 'c'\"": [1.0, 3.5] * 50}),
    ],
)
def test_no_column_keeps_the_page_from_being_written(
    tmp_path: Path, reference: dict[str, list], current: dict[str, list]
) -> None:
    page = tmp_path / "report.html"
    draw(sample(**reference), sample(**current), page)
    text = page.read_text()
    assert text.rstrip().endswith("</html>")
    assert "<script>alert" not in text
    assert "<b>" not in text


def test_a_column_that_cannot_be_drawn_takes_no_other_with_it() -> None:
    both = sample(tiny=[0.0, 5e-324] * 50, fine=[1.0, 2.5] * 50)
    report = EvidentlyMonitor().report(both, both, DriftSettings())
    shown = json.loads(snapshot(drawn(both, both, report)).json())["metrics"]
    assert "inputs: fine" in {metric["config"]["column"] for metric in shown}
    assert [row.score for row in report.columns if row.check is DriftCheck.DISTRIBUTION] == [0, 0]


def test_a_page_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    reference, current = streams()
    with pytest.raises(OSError, match="file"):
        draw(reference, current, tmp_path / "file" / "report.html")


def test_columns_that_would_be_shown_alike_are_told_apart() -> None:
    both = sample(**{"a<": [1.0, 2.5] * 50, "a‹": [1.0, 3.5] * 50})
    report = EvidentlyMonitor().report(both, both, DriftSettings())
    names = [column.name for column in drawn(both, both, report)]
    assert names == ["inputs: a‹", "inputs: a‹ (2)"]
    assert len(json.loads(snapshot(drawn(both, both, report)).json())["metrics"]) == 2


values = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3), min_size=1, max_size=9
)
frames = st.dictionaries(st.text(max_size=4), st.builds(lambda held: held * 9, values), max_size=2)


@settings(max_examples=40, deadline=None)
@given(frames, frames)
def test_no_frame_breaks_the_page(reference: dict[str, list], current: dict[str, list]) -> None:
    sides = sample(**reference), sample(**current)
    for first, second in (sides, (sides[0], sides[0])):
        report = EvidentlyMonitor().report(first, second, DriftSettings(least_rows=2))
        snapshot(drawn(first, second, report)).get_html_str(as_iframe=False)
