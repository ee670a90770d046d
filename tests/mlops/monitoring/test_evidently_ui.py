"""Evidently's UI as a process: it answers who knows the secret, and what was written while it runs."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from mlops.monitoring.evidently_client import SECRET_HEADER
from mlops.monitoring.evidently_files import project_id, snapshot_id, snapshot_of, workspace_of
from tests.evidently_ui import RunningUi, a_job, add_report


@pytest.fixture
def ui(evidently_ui: RunningUi):
    with httpx.Client(
        base_url=evidently_ui.url, headers={SECRET_HEADER: evidently_ui.secret}, trust_env=False, timeout=60
    ) as client:
        yield client


ALPHA = project_id("alpha")


@pytest.mark.parametrize("path", ["/", "/api/projects", f"/projects/{ALPHA}", "/static/js/x.js", "/schema"])
@pytest.mark.parametrize("given", [None, "", "wrong", "ä".encode()])
def test_without_the_secret_nothing_is_answered(
    evidently_ui: RunningUi, path: str, given: str | bytes | None
) -> None:
    headers = {} if given is None else {SECRET_HEADER: given}
    answer = httpx.get(evidently_ui.url + path, headers=headers, trust_env=False)
    assert (answer.status_code, answer.text) == (403, "ask the gateway")


def test_it_shows_projects_and_snapshots_with_their_metadata(ui: httpx.Client) -> None:
    projects = {each["name"]: each["id"] for each in ui.get("/api/projects").json()}
    assert projects["alpha"] == str(ALPHA)
    listed = {each["id"]: each for each in ui.get(f"/api/projects/{ALPHA}/snapshots").json()}
    first = listed[str(snapshot_id(1))]
    assert first["name"] == "depth version 3"
    assert first["tags"] == ["depth", "version 3", "schedule", "drift"]
    assert first["timestamp"] == "2026-11-27T13:00:00Z"
    assert first["metadata"]["report"] == "1"
    data = ui.get(f"/api/projects/{ALPHA}/{snapshot_id(2)}/data").json()
    assert "inputs: torque" in json.dumps(data), "the drawings are read from the disk"
    page = ui.get(f"/api/projects/{ALPHA}/{snapshot_id(2)}/download")
    assert "Kolmogorov-Smirnov distance" in page.text


def test_the_dashboard_has_a_line_for_each_model(ui: httpx.Client) -> None:
    dashboard = ui.get(f"/api/v2/dashboards/{ALPHA}").json()
    share = dashboard["panels"][0]
    assert [line["legend"] for line in share["values"]] == ["depth", "wear"]
    filters = [
        {key: line[key] for key in ("tags", "metadata", "metric", "metric_labels")}
        for line in share["values"]
    ]
    path = f"/api/v2/snapshots/{ALPHA}/data_series_batch"
    found = ui.post(path, json={"series_filter": filters}).json()
    assert {each["snapshot_id"] for each in found["sources"]} >= {str(snapshot_id(n)) for n in (1, 2, 3)}
    values = [value for each in found["series"] for value in each["values"] if value is not None]
    assert all(0 <= value <= 1 for value in values)
    assert max(values) > 0


def test_what_is_written_and_deleted_meanwhile_is_seen(ui: httpx.Client, evidently_ui: RunningUi) -> None:
    workspace = workspace_of(evidently_ui.installation.drift_dir)
    add_report(evidently_ui.installation, a_job(90, "gamma"))
    gamma = project_id("gamma")
    assert str(gamma) in {each["id"] for each in ui.get("/api/projects").json()}
    damaged = snapshot_of(workspace, "gamma", 91)
    damaged.write_text('{"half": ')
    snapshot_of(workspace, "gamma", 92).write_text('{"metric_results": 1}')
    listed = ui.get(f"/api/projects/{gamma}/snapshots").json()
    assert [each["id"] for each in listed] == [str(snapshot_id(90))], "a damaged file takes no other with it"
    for path in (damaged, snapshot_of(workspace, "gamma", 92)):
        path.unlink()
    snapshot_of(workspace, "gamma", 90).unlink()
    assert ui.get(f"/api/projects/{gamma}/snapshots").json() == []
    for path in (workspace / str(gamma)).iterdir():
        path.rmdir() if path.is_dir() else path.unlink()
    (workspace / str(gamma)).rmdir()
    assert ui.get(f"/api/projects/{gamma}/snapshots").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        f"/api/projects/{ALPHA}/{snapshot_id(77)}/data",
        f"/api/projects/{ALPHA}/{snapshot_id(77)}/metadata",
        f"/api/projects/{snapshot_id(1)}/info",
        f"/api/v2/snapshots/{snapshot_id(1)}/metrics?tags=[]&metadata={{}}",
        "/schema/openapi.json",
    ],
)
def test_what_is_not_there_is_404(ui: httpx.Client, path: str) -> None:
    assert ui.get(path).status_code == 404


def test_its_files_are_private(evidently_ui: RunningUi) -> None:
    workspace = workspace_of(evidently_ui.installation.drift_dir)
    # The fixture writes with the umask of the tests; what the UI made itself is looked at.
    assert stat.S_IMODE(evidently_ui.installation.drift_dir.stat().st_mode) == 0o700
    assert workspace.is_dir()


def test_it_listens_on_loopback_alone_and_says_what_it_lacks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlops.monitoring.evidently_ui"],
        env={**os.environ, "MLOPS_HOME": str(tmp_path / "none")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "mlops:setup" in done.stderr
