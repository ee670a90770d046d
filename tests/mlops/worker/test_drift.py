"""Drift reports made by the worker: real Postgres, real processes, real Evidently."""

from __future__ import annotations

import contextlib
import json
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest

from mlops.config import MLOpsConfig
from mlops.entities import DriftJob, DriftTrigger, JobState, Verdict
from mlops.errors import ReferenceNotFound
from mlops.installation import Installation
from mlops.monitoring.drift_files import forget, page_of, performance_page_of, reference_of
from mlops.monitoring.evidently_files import Part, forget_snapshots, snapshot_of, workspace_of
from mlops.monitoring.sample import Sample
from mlops.store.store import Store
from mlops.worker.drift import DriftReports, ask_for_what_is_due
from mlops.worker.presence import DRIFT_LOCK, Presence

DOWNLOAD = "tests.mlops.worker.test_drift:download"
ENDLESS = "tests.mlops.worker.test_drift:never"
KILLED = "tests.mlops.worker.test_drift:kill_itself"
RNG = np.random.default_rng(5)


def download(config: MLOpsConfig, project: str, model: str, version: int, folder: Path) -> Path:
    """What the process calls: version 7 was trained without a reference."""
    if version == 7:
        raise ReferenceNotFound(project, model, version)
    rng = np.random.default_rng(version)
    inputs = {"torque": rng.normal(2.0, 0.5, 2000), "drill": rng.choice(["a", "b"], 2000)}
    depth = rng.normal(10.0, 1.0, 2000)
    found = folder / "reference.parquet"
    Sample.of(inputs, {"depth": depth}, truths={"depth": depth + rng.normal(0, 0.01, 2000)}).write(found)
    return found


def never(*_: object) -> Path:
    """Hangs."""
    time.sleep(600)
    raise AssertionError


def kill_itself(*_: object) -> Path:
    """As the system does with what takes too much memory."""
    psutil.Process().kill()
    raise AssertionError


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.worker.drift.EVERY_S", 0.05)
    monkeypatch.setattr("mlops.worker.drift.DUE_S", 0.2)


@pytest.fixture
def infer(store: Store) -> Callable[..., None]:
    """Logs inferences of alpha/depth."""

    def log(
        count: int, *, version: int = 3, ago_s: float = 10.0, moved: float = 0.0, drill: str = ""
    ) -> None:
        at = datetime.now(UTC) - timedelta(seconds=ago_s)
        about = {"at": at, "project": "alpha", "model": "depth", "version": version, "side": "champion"}
        answered = {"status": 200, "latency_s": 0.01}
        rows = []
        for place in range(count):
            inputs = {
                "torque": [RNG.normal(2.0 + moved, 0.5)],
                "drill": [drill or str(RNG.choice(["a", "b"]))],
            }
            told = {"rows": 1, "inputs": inputs, "outputs": {"depth": [RNG.normal(10.0, 1.0)]}}
            rows.append(about | answered | {"request_id": f"{ago_s}-{place}", "features": json.dumps(told)})
        store.inferences.add(rows)

    return log


@pytest.fixture
def served(store: Store, add_project: Callable[..., str], serve: Callable[..., int]) -> None:
    add_project("alpha", monitoring={"every_s": 0, "after": 0})
    serve("alpha", "depth", version=3)


@pytest.fixture
def work(
    store: Store, database_url: str, database_installation: Installation
) -> Iterator[Callable[..., DriftReports]]:
    begun = []

    def begin(download: str = DOWNLOAD, longest_s: float = 60.0) -> DriftReports:
        made = DriftReports(
            store, Presence(database_url, DRIFT_LOCK), database_installation.root,
            download=download, longest_s=longest_s,
        )  # fmt: skip
        made.start()
        begun.append(made)
        return made

    yield begin
    for each in begun:
        each.stop()


def ask(store: Store, version: int = 3, window: timedelta = timedelta(hours=1)) -> DriftJob:
    now = datetime.now(UTC)
    asked = store.drift.ask("alpha", "depth", version, now - window, now, asked_by="ada")
    assert asked is not None
    return asked


def until(store: Store, number: int, condition: Callable[[DriftJob], bool]) -> DriftJob:
    deadline = time.monotonic() + 90
    while not condition(job := store.drift.get(number)):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def ended(job: DriftJob) -> bool:
    return job.state in (JobState.DONE, JobState.FAILED)


def children() -> list[psutil.Process]:
    found = []
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "mlops.worker.drift_job" in each.cmdline():
                found.append(each)
    return found


@pytest.mark.usefixtures("served")
def test_a_report_has_rows_and_then_a_page(
    store: Store,
    infer: Callable[..., None],
    work: Callable[..., DriftReports],
    database_installation: Installation,
) -> None:
    infer(300, moved=1.0, drill="c")
    infer(50, ago_s=7200, moved=9.0)  # before the window
    infer(50, version=2, moved=9.0)  # another version's
    folder = database_installation.drift_dir
    asked = ask(store)
    work()
    job = until(store, asked.id, lambda job: job.has_page)
    assert (job.state, job.inferences, job.current_rows, job.reference_rows) == (
        JobState.DONE,
        300,
        300,
        2000,
    )
    drifted = {(row.column, row.check.value) for row in job.columns if row.drifted}
    assert drifted == {("torque", "distribution"), ("drill", "distribution"), ("drill", "new_categories"),
                       ("drill", "constant")} | (drifted & {("torque", "out_of_range")})  # fmt: skip
    assert (job.judged, job.drifted) == (3, 2)
    page = page_of(folder, job.id).read_text()
    assert "Kolmogorov-Smirnov distance" in page
    assert reference_of(folder, "alpha", "depth", 3).is_file(), "it is brought once"
    again = ask(store)
    assert until(store, again.id, ended).state is JobState.DONE
    snapshot = snapshot_of(workspace_of(folder), "alpha", job.id)
    until(store, again.id, lambda _: snapshot_of(workspace_of(folder), "alpha", again.id).is_file())
    for path in (*snapshot.parents[1].rglob("*"), snapshot.parents[1]):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    forget(folder, store.drift)
    assert page_of(folder, job.id).is_file()
    assert snapshot.is_file()
    store.projects.remove("alpha")
    forget(folder, store.drift)
    assert not snapshot.exists()
    assert not page_of(folder, job.id).parent.exists(), "with its project"


@pytest.mark.usefixtures("served")
def test_a_workspace_that_cannot_be_written_takes_neither_rows_nor_page(
    store: Store,
    infer: Callable[..., None],
    work: Callable[..., DriftReports],
    database_installation: Installation,
    caplog: pytest.LogCaptureFixture,
) -> None:
    infer(100)
    folder = workspace_of(database_installation.drift_dir)
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("in the way")
    try:
        asked = ask(store)
        work()
        job = until(store, asked.id, lambda job: job.has_page and f"report {job.id} of" in caplog.text)
        assert job.state is JobState.DONE
        assert page_of(database_installation.drift_dir, job.id).is_file()
        assert "workspace" in caplog.text
    finally:
        folder.unlink()


@pytest.mark.usefixtures("served")
def test_ground_truths_of_the_window_have_a_page_and_a_snapshot(
    store: Store,
    infer: Callable[..., None],
    work: Callable[..., DriftReports],
    database_installation: Installation,
) -> None:
    infer(60)
    infer(60, version=2, ago_s=20.0)
    folder = database_installation.drift_dir
    work()
    before = until(store, ask(store).id, lambda job: job.has_page and not children())
    labels = [("10.0", number, "depth", 10.0 + number / 100) for number in range(40)]
    labels += [("10.0", number, "other", 1.0) for number in range(40)]  # an output that there is not
    store.ground_truths.put(
        "alpha",
        [
            {"request_id": f"{ago}-{number}", "model": "", "output": output, "truths": [value]}
            for ago, number, output, value in labels
        ],
        "ada",
    )
    job = until(store, ask(store).id, lambda job: job.has_performance)
    page = performance_page_of(folder, job.id).read_text()
    assert "depth: ground truth" in page
    changed = {each.metric: each for each in job.performance}
    assert {each.output for each in job.performance} == {"depth"}
    mae = changed["mae"]
    assert (mae.verdict, mae.rows, mae.requests) == (Verdict.WORSE, 40, 40)
    assert mae.reference == pytest.approx(0.01 * (2 / np.pi) ** 0.5, rel=0.1)
    assert mae.low > 0.1
    assert store.drift.latest("alpha")[0].performance == job.performance
    assert store.drift.get(before.id).performance == ()
    kept = snapshot_of(workspace_of(folder), "alpha", job.id, Part.PERFORMANCE)
    until(store, job.id, lambda _: kept.is_file())
    told = json.loads(kept.read_text())
    assert (told["name"], told["tags"][-1]) == ("depth version 3: performance", "performance")
    assert not store.drift.get(before.id).has_performance
    assert not performance_page_of(folder, before.id).exists()
    forget(folder, store.drift)
    assert kept.is_file()
    store.projects.remove("alpha")
    forget(folder, store.drift)
    assert not kept.exists()


@pytest.mark.usefixtures("served")
def test_of_a_project_the_newest_snapshots_are_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.monitoring.evidently_files.MOST_SNAPSHOTS", 2)
    numbers = [ask(store).id for _ in range(3)]
    paths = [snapshot_of(tmp_path, "alpha", number) for number in numbers]
    paths[0].parent.mkdir(parents=True)
    foreign = paths[0].with_name("11111111-1111-4111-8111-111111111111.json")
    for path in (*paths, foreign, paths[0].with_name("notes.json")):
        path.touch()
    forget_snapshots(tmp_path, store.drift)
    assert [path.exists() for path in paths] == [False, True, True]
    assert foreign.exists(), "what we did not write is left alone"


@pytest.mark.usefixtures("served")
def test_an_empty_window_is_a_report(store: Store, work: Callable[..., DriftReports]) -> None:
    asked = ask(store)
    work()
    job = until(store, asked.id, lambda job: job.has_page)
    assert (job.inferences, job.judged, job.drifted, job.share) == (0, 0, 0, 0.0)
    assert len(job.columns) == 3
    assert all(row.reason for row in job.columns)


@pytest.mark.usefixtures("served")
def test_why_none_is_made_is_told(
    store: Store, work: Callable[..., DriftReports], infer: Callable[..., None]
) -> None:
    asked = ask(store, version=7)
    work()
    job = until(store, asked.id, ended)
    assert (job.state, job.error_type) == (JobState.FAILED, "ReferenceNotFound")
    assert "reference=" in job.error, "what to do"
    assert job.ended_at is not None


@pytest.mark.parametrize(
    ("download", "longest_s", "why"),
    [
        (ENDLESS, 3.0, "it took longer than 3 s"),
        (KILLED, 60.0, "ended with -9"),
        ("nowhere:nothing", 60.0, "nowhere"),
    ],
)
@pytest.mark.usefixtures("served")
def test_a_process_that_comes_to_no_good_end_fails_its_report_alone(
    store: Store, work: Callable[..., DriftReports], download: str, longest_s: float, why: str
) -> None:
    asked = ask(store, version=8)
    work(download, longest_s)
    job = until(store, asked.id, ended)
    assert (job.state, job.error_type) == (JobState.FAILED, "DriftReportFailed")
    assert why in job.error
    assert children() == []


@pytest.mark.usefixtures("served")
def test_a_worker_that_ends_leaves_no_process_and_the_next_one_makes_it(
    store: Store, work: Callable[..., DriftReports]
) -> None:
    asked = ask(store, version=9)
    first = work(ENDLESS)
    until(store, asked.id, lambda job: job.state is JobState.RUNNING)
    first.stop()
    assert children() == []
    assert store.drift.get(asked.id).state is JobState.RUNNING
    work()
    assert until(store, asked.id, ended).state is JobState.DONE


@pytest.mark.usefixtures("served")
def test_of_two_one_makes_them(
    store: Store, work: Callable[..., DriftReports], infer: Callable[..., None]
) -> None:
    infer(50)
    work()
    work()
    asked = [ask(store) for _ in range(3)]
    jobs = [until(store, each.id, lambda job: job.has_page) for each in asked]
    ends = [job.ended_at for job in jobs]
    assert ends == sorted(ends), "one after the other"


# -- what is due --------------------------------------------------------------------------------


def due(store: Store, later: timedelta = timedelta()) -> list[DriftTrigger]:
    ask_for_what_is_due(store, datetime.now(UTC) + later)
    found = []
    while (job := store.drift.claim()) is not None:
        found.append(job.trigger)
        store.drift.failed(job.id, "", "")
    return found


@pytest.fixture
def stating(add_project: Callable[..., str], serve: Callable[..., int]) -> Callable[..., None]:
    """Serves version 3 in a project that states how it is monitored."""

    def state(**monitoring: float) -> None:
        add_project("alpha", monitoring=monitoring)
        serve("alpha", "depth", version=3)

    return state


def test_after_so_many_inferences_and_not_before(
    store: Store, stating: Callable[..., None], infer: Callable[..., None]
) -> None:
    stating(every_s=0, after=100)
    infer(99)
    assert due(store) == []
    infer(500, version=2)
    assert due(store) == [], "another version's do not count"
    infer(1, ago_s=5)
    assert due(store) == [DriftTrigger.COUNT]
    (job,) = store.drift.latest("alpha")
    assert job.asked_by == ""
    assert job.until - job.since == timedelta(days=1)
    infer(100, ago_s=0.0)
    assert due(store, timedelta(seconds=30)) == [], "at most one a minute"
    assert due(store, timedelta(seconds=70)) == [DriftTrigger.COUNT]
    (second, first) = store.drift.latest("alpha")
    assert second.since == first.until, "each is about its own inferences"
    assert due(store, timedelta(seconds=200)) == []


def test_by_schedule_where_there_is_something_new(
    store: Store, stating: Callable[..., None], infer: Callable[..., None]
) -> None:
    stating(every_s=3600, window_s=7200, after=0)
    infer(1, ago_s=0)
    assert due(store) == [], "an hour after it was deployed"
    hour = timedelta(seconds=3610)
    assert due(store, hour) == [DriftTrigger.SCHEDULE]
    (job,) = store.drift.latest("alpha")
    assert job.until - job.since == timedelta(hours=2)
    assert due(store, hour) == []
    assert due(store, 2 * hour) == [], "nothing new since"
    infer(1, ago_s=-3700)
    assert due(store, 2 * hour) == [DriftTrigger.SCHEDULE]


def test_what_has_no_reference_is_not_tried_again(
    store: Store, stating: Callable[..., None], infer: Callable[..., None]
) -> None:
    stating(every_s=0, after=10)
    infer(10)
    ask_for_what_is_due(store, datetime.now(UTC))
    job = store.drift.claim()
    assert job is not None
    store.drift.failed(job.id, "no reference", "ReferenceNotFound")
    infer(100, ago_s=0)
    assert due(store, timedelta(hours=1)) == []


def test_zero_is_never_and_a_shadow_is_not_looked_at(
    store: Store, stating: Callable[..., None], infer: Callable[..., None], serve: Callable[..., int]
) -> None:
    from mlops.entities import Side

    stating(every_s=0, after=0)
    infer(1000)
    assert due(store, timedelta(days=2)) == []
    store.projects.put(store.projects.get("alpha"), {"monitoring": {"every_s": 0, "after": 10}})
    serve("alpha", "depth", version=4, side=Side.SHADOW)
    infer(50, version=4)
    assert due(store) == [DriftTrigger.COUNT], "the champion's"
    assert [job.version for job in store.drift.latest("alpha")] == [3]
