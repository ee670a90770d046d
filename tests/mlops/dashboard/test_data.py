"""The pages of data, of machines, and of performance."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta

import pytest

from mlops.dashboard.hardware import WIDTH, lane
from mlops.entities import DataCheck, DataVersion, RunStatus
from mlops.hardware.fleet import Fleet
from mlops.hardware.names import ENERGY
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.tokens import Principal, Role

ALPHA = Principal(Role.MEMBER, "alpha")
HASH = "0" * 31 + "1.dir"
HOSTILE = "<script>alert(1)</script>\"'"


@pytest.fixture
def used(store, add_project):
    """A run of a project that used a version, and measured its machine."""

    def put(project: str, path: str = "data/raw", host: str = "studio", **fields):
        # fmt: off
        version = DataVersion(project, path, HASH, 2_500_000, 12, "f00dcafe", False, "/remote",
                              (DataCheck("rows", False, f"of {project}"), DataCheck("units", True)))
        # fmt: on
        metrics = {
            ENERGY: MetricSummary(7200.0, 0.0, 7200.0, time_ms=int(datetime.now(UTC).timestamp() * 1000)),
            "system/gpu_0_utilization_percentage": MetricSummary(60.0, 5.0, 97.0),
            "system/memory_pressure_level": MetricSummary(1.0, 1.0, 2.0),
            "system/thermal_state": MetricSummary(0.0, 0.0, 2.0),
        }
        tags = {"hardware.os": "Linux 6.1", "hardware.host": host, "hardware.chip": "Apple M4"}
        now = datetime.now(UTC)
        usual = {"name": f"run of {project}", "experiment": "all", "status": RunStatus.FINISHED,
                 "started_at": now - timedelta(hours=1), "ended_at": now}  # fmt: skip
        run = IndexedRun(
            f"id-{project}", project, **usual | fields, tags=tags, metrics=metrics, data=(version,)
        )
        store.run_index.put([run])

    return put


def test_versions_have_their_size_checks_and_users(page, add_project, used) -> None:
    add_project("alpha")
    assert "mlops:dvc-add data/raw --project alpha" in page("/data?project=alpha")
    assert "mlops:dvc-add data/raw<" in page("/data")
    used("alpha")
    shown = page("/data")
    assert "2.5 MB" in shown
    assert "1 of 2 failed" in shown
    assert f"/data/version?project=alpha&amp;path=data%2Fraw&amp;hash={HASH}" in shown
    assert "No version of other is known" in page("/data?project=alpha&path=other")
    version = page(f"/data/version?project=alpha&path=data/raw&hash={HASH}")
    assert 'href="/runs/alpha/id-alpha"' in version
    assert f"/runs?project=alpha&amp;tag=mlops.data.used.{HASH}" in version
    assert version.index("of alpha") < version.index("units"), "what failed comes first"


def test_what_cannot_be_shown_is_named(browse, add_project, subtests) -> None:
    add_project("alpha")
    for path, error in [
        ("/data/version?path=a&hash=b", "InvalidInput"),
        ("/data/version?project=alpha&path=a&hash=b", "DataNotFound"),
        ("/monitoring/performance?project=alpha", "InvalidInput"),
        ("/monitoring/performance?model=depth", "InvalidInput"),
        ("/monitoring/performance?project=nobody&model=depth", "ProjectNotFound"),
        ("/monitoring/performance?project=alpha&model=..%2Fx", "InvalidName"),
    ]:  # fmt: skip
        with subtests.test(path=path):
            assert browse(path).json()["error"]["type"] == error


def test_member_sees_its_data_and_machines_alone(browse, page, add_project, used) -> None:
    for name in ("alpha", "beta"):
        add_project(name)
        used(name, host=f"host-of-{name}")
    for path in ("/data", "/hardware"):
        assert "of-beta" in page(path) or "beta /" in page(path)
        shown = page(path, ALPHA)
        assert "beta" not in shown
    refused = browse(f"/data/version?project=beta&path=data/raw&hash={HASH}", ALPHA)
    assert refused.json()["error"]["type"] == "Forbidden"
    refused = browse("/monitoring/performance?project=beta&model=depth", ALPHA)
    assert refused.json()["error"]["type"] == "Forbidden"


def test_what_runs_logged_is_escaped(page, add_project, used) -> None:
    add_project("alpha")
    used("alpha", path=HOSTILE, host=HOSTILE, name=HOSTILE)
    for path in ("/data", "/hardware"):
        shown = page(path)
        assert "<script>alert" not in shown
        assert "style=" not in shown


def test_a_machine_is_a_lane_with_its_runs(page, add_project, used) -> None:
    add_project("alpha")
    assert "No run was measured in the last 24 h" in page("/hardware", region="lanes")
    used("alpha")
    shown = page("/hardware", region="lanes")
    assert re.search(r'<article class="lane" aria-label="studio">', shown)
    assert "Apple M4, Linux 6.1" in shown
    assert "2 Wh" in shown
    assert '<dd class="amber">warn</dd>' in shown
    assert '<dd class="red">serious</dd>' in shown
    assert 'title="At most 97">60</dd>' in shown
    assert 'class="finished"' in shown
    energy = page("/hardware", region="energy")
    assert energy.count("2 Wh") == 2


def test_machines_of_earlier_releases_go_by_what_they_said(store, add_project) -> None:
    add_project("alpha")
    now = datetime.now(UTC)
    for place, tags in enumerate(({"hardware.chip": "Apple M4"}, {"hardware.model": "Mac16,10"}, {})):
        nan = MetricSummary(math.nan, math.nan, math.nan)
        metrics = {"system/memory_pressure_level": MetricSummary(3.0, 3.0, 3.0), "system/thermal_state": nan}
        store.run_index.put(
            [IndexedRun(str(place), "alpha", "x", "all", RunStatus.FINISHED, now, now,
                        tags={"hardware.os": "macOS 15", **tags}, metrics=metrics)]
        )  # fmt: skip
    store.run_index.put([IndexedRun("unmeasured", "alpha", "x", "all", RunStatus.FINISHED, now)])
    long_ago = now - timedelta(days=3)
    store.run_index.put(
        [IndexedRun(f"old-{status}", "alpha", "x", "all", status, long_ago, tags={"hardware.os": "macOS 15"})
         for status in (RunStatus.RUNNING, RunStatus.FAILED)]
    )  # fmt: skip
    found = Fleet(store).machines(now - timedelta(days=1))
    assert [each.name for each in found] == ["Apple M4", "Mac16,10", "macOS 15"]
    assert {each.run.id for each in found[2].runs} == {"2", "old-RUNNING"}, "what goes on is there"
    assert found[0].energy_j is None
    assert (found[0].latest.pressure, found[0].latest.thermal) == (None, None), "no state of Apple's"


def test_bars_are_below_each_other_where_runs_overlap(store, add_project) -> None:
    add_project("alpha")
    since = datetime.now(UTC) - timedelta(hours=10)
    times = [(-5, 2), (1, 3), (4, 4.001), (6, None), *[(7, 8)] * 12]
    store.run_index.put(
        [IndexedRun(str(place), "alpha", "x", "all", RunStatus.FINISHED, since + timedelta(hours=begin),
                    None if end is None else since + timedelta(hours=end), tags={"hardware.os": "x"})
         for place, (begin, end) in enumerate(times)]
    )  # fmt: skip
    (machine,) = Fleet(store).machines(since - timedelta(hours=9))
    drawn = lane(machine, since, since + timedelta(hours=10))
    bars = {bar.of.run.id: bar for bar in drawn.bars}
    assert (bars["0"].x, bars["0"].width, bars["0"].row) == (0, 200, 0)
    assert (bars["1"].x, bars["1"].row) == (100, 1)
    assert bars["2"].width == 3, "a short one is seen"
    assert bars["3"].x + bars["3"].width == WIDTH
    assert drawn.rows == 8


@pytest.fixture
def answered(store, add_project, serve):
    """Answers of a champion and a canary of alpha/depth, with their ground truths."""
    add_project("alpha")
    serve("alpha", "depth", "http://127.0.0.1:1", version=3)
    now = datetime.now(UTC)
    sides = (("champion", 3, 10), ("canary", 4, 2))
    store.inferences.add(
        [{"at": now - timedelta(minutes=number), "project": "alpha", "model": "depth", "version": version,
          "side": side, "request_id": f"{side}-{number}", "status": 200, "latency_s": 0.004,
          "features": json.dumps({"rows": 1, "outputs": {"grade": ["good"]}})}
         for side, version, _ in sides for number in range(50)]
    )  # fmt: skip
    store.ground_truths.put(
        "alpha",
        [{"request_id": f"{side}-{number}", "model": "", "output": "grade",
          "truths": ["good" if number % wrong else "bad"]}
         for side, _, wrong in sides for number in range(50)],
        "ann",
    )  # fmt: skip


def test_performance_is_by_version_and_beside_the_champion(page, answered) -> None:
    monitoring = page("/monitoring", region="performance")
    assert (
        'data-performance="/api/projects/alpha/performance-over-time?model=depth&amp;window_s=86400.0"'
        in monitoring
    )
    assert 'href="/monitoring/performance?project=alpha&amp;range=24h&amp;model=depth"' in monitoring
    shown = page("/monitoring/performance?project=alpha&model=depth")
    assert "100 answered requests" in shown
    assert "v4 canary" in shown
    assert "worse" in shown


def test_performance_teaches_the_command(page, add_project, serve) -> None:
    add_project("alpha")
    serve("alpha", "depth", "http://127.0.0.1:1")
    assert "mlops:ground-truth log" in page("/monitoring", region="performance")
    shown = page("/monitoring/performance?project=alpha&model=depth")
    assert "mlops:ground-truth log &lt;request id&gt; &lt;output&gt;=&lt;truth&gt; --project alpha" in shown


def test_evidently_is_led_to_where_it_runs(page, add_project, services) -> None:
    from mlops.entities import ServiceState, ServiceStatus
    from mlops.monitoring.evidently_files import project_id

    add_project("alpha")
    assert "efficientai-toolkit mlops:evidently" in page("/monitoring", region="evidently")
    services.append(ServiceStatus("evidently", ServiceState.HEALTHY))
    assert f'href="/evidently/projects/{project_id("alpha")}"' in page(
        "/monitoring", ALPHA, region="evidently"
    )
    assert 'href="/evidently/"' in page("/monitoring", region="evidently")


def test_a_pipeline_is_of_the_projects_folder(page, add_project, tmp_path) -> None:
    for name in ("alpha", "beta"):
        add_project(name)
    assert "No project has a pipeline" in page("/pipelines")
    assert "alpha&#39;s folder" in page("/pipelines", ALPHA)
    folder = tmp_path / "alpha"
    folder.mkdir()
    (folder / "dvc.yaml").write_text(json.dumps({"stages": {HOSTILE: {"cmd": HOSTILE, "outs": [HOSTILE]}}}))
    assert 'href="/pipelines?project=alpha"' in page("/pipelines")
    shown = page("/pipelines", ALPHA)
    assert "never ran" in shown
    assert "1 would run" in shown
    assert "<script>alert" not in shown
    (folder / "dvc.yaml").write_text("stages: [")
    shown = page("/pipelines?project=alpha")
    assert "dvc.yaml cannot be read" in shown, "with what was there before"
    assert "never ran" in shown
