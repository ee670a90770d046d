"""Where the files of drift reports lie, below one folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlops.monitoring.evidently_files import forget_snapshots, workspace_of
from mlops.store.drift import Drift


def page_of(folder: Path, number: int) -> Path:
    """Evidently's page of a report."""
    return folder / "reports" / str(number) / "report.html"


def performance_page_of(folder: Path, number: int) -> Path:
    """Evidently's page of how right the version was in the report's window."""
    return page_of(folder, number).with_name("performance.html")


def reference_of(folder: Path, project: str, model: str, version: int) -> Path:
    """The copy of a model version's reference: it never changes."""
    return folder / "references" / project / model / f"{version}.parquet"


def forget(folder: Path, drift: Drift) -> None:
    """Delete the files of reports that are not kept any more. Raises `ServiceUnavailable`."""
    reports = folder / "reports"
    found = {int(each.name): each for each in reports.glob("[0-9]*") if each.name.isdecimal()}
    for number in drift.gone(found):
        shutil.rmtree(found[number], ignore_errors=True)
    forget_snapshots(workspace_of(folder), drift)
