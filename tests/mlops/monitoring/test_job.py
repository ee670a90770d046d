"""A report in a process of its own: what it leaves, and how each way to fail is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest

from mlops.entities import DriftCheck
from mlops.errors import DriftReportFailed, SampleUnreadable
from mlops.monitoring.base import DriftSettings
from mlops.monitoring.job import ReportOrder, report_from_json, report_to_json, run_report
from mlops.monitoring.judging import judge
from mlops.monitoring.sample import Sample


@pytest.fixture
def order(tmp_path: Path) -> ReportOrder:
    rng = np.random.default_rng(4)
    samples = {
        "reference": Sample.of({"x": rng.normal(size=400)}, {"y": rng.normal(size=400)}),
        "current": Sample.of({"x": rng.normal(2, size=300)}, {"y": rng.normal(size=300)}),
    }
    for name, sample in samples.items():
        sample.write(tmp_path / f"{name}.parquet")
    return ReportOrder(
        reference=str(tmp_path / "reference.parquet"),
        current=str(tmp_path / "current.parquet"),
        folder=str(tmp_path / "report"),
    )


def changed(order: ReportOrder, **fields: object) -> ReportOrder:
    return ReportOrder(**{name: getattr(order, name) for name in order.__slots__} | fields)  # type: ignore[arg-type]


def test_it_leaves_the_rows_and_the_page(order: ReportOrder) -> None:
    found = run_report(order)
    expected = judge(Sample.read(Path(order.reference)), Sample.read(Path(order.current)), DriftSettings())
    assert found.report == expected
    assert {row.column for row in found.report.columns if row.drifted} == {"x"}
    assert report_from_json(json.loads(found.json_file.read_text())) == expected
    assert found.page is not None
    assert "inputs: x" in found.page.read_text()
    assert sorted(path.name for path in Path(order.folder).iterdir()) == ["report.html", "report.json"]
    assert found.peak_mb >= 0


def test_settings_reach_it_and_no_page_is_made_unasked(order: ReportOrder) -> None:
    found = run_report(changed(order, settings=DriftSettings(least_rows=1000), page=False))
    reasons = {row.reason for row in found.report.columns}
    assert reasons == {"the reference has 400 values of it, and 1000 are needed"}
    assert found.page is None
    assert [path.name for path in Path(order.folder).iterdir()] == ["report.json"]


def test_a_report_is_the_same_after_json(order: ReportOrder) -> None:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    current = Sample.read(Path(order.current))
    window = Sample(current.columns, current.rows, 300, now, now, 4)
    report = judge(Sample.read(Path(order.reference)), window, DriftSettings())
    content = json.loads(json.dumps(report_to_json(report)))
    assert report_from_json(content) == report
    assert content["drifted"] is True
    assert content["share"] == 0.5
    assert content["since"] == "2026-05-04T00:00:00+00:00"
    assert content["columns"][0]["check"] == DriftCheck.DISTRIBUTION.value


def test_a_damaged_sample_is_named_as_if_it_were_read_here(order: ReportOrder) -> None:
    Path(order.current).write_bytes(b"PAR1")
    with pytest.raises(SampleUnreadable, match=r"current\.parquet") as caught:
        run_report(order)
    assert caught.value.path == order.current
    assert caught.value.remedy
    assert not Path(order.folder).exists()


def test_what_takes_too_long_is_killed(order: ReportOrder) -> None:
    with pytest.raises(DriftReportFailed, match=r"longer than 0\.01 s") as caught:
        run_report(order, timeout_s=0.01)
    assert caught.value.remedy
    assert not [
        child
        for child in psutil.Process().children(recursive=True)
        if "mlops.monitoring.job" in child.cmdline()
    ]


def test_what_needs_too_much_memory_is_told(order: ReportOrder) -> None:
    with pytest.raises(DriftReportFailed) as caught:
        run_report(changed(order, memory_mb=64))
    assert caught.value.remedy


def test_what_cannot_be_written_is_told_with_its_log(order: ReportOrder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DriftReportFailed, match="FileExistsError") as caught:
        run_report(changed(order, folder=str(tmp_path / "file")))
    assert "Traceback" in str(caught.value)
