"""The process's one sender, with a real server and with one that is down, hangs or comes back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.entities import RunStatus
from mlops.errors import MLOpsError, ServiceUnavailable
from mlops.tracking import sender
from mlops.tracking.delivery import Delivery
from mlops.tracking.journal import RunJournal
from mlops.tracking.mlflow import MLflowTracker
from tests.mlops.tracking.conftest import Lab, wait_until
from tests.mlops.tracking.proxy import Exchange, Proxy


@pytest.fixture
def tracker(lab: Lab, proxy: Proxy) -> MLflowTracker:
    settings = lab.account.settings() | {"url": proxy.url}
    return MLflowTracker(**settings, journal=lab.journal)


@pytest.fixture
def hanging(proxy: Proxy) -> Iterator[threading.Event]:
    """The server takes requests and answers none, until the event is set."""
    back = threading.Event()

    def hang(exchange: Exchange) -> bool:
        return not back.wait(60)

    proxy.fault = hang
    yield back
    back.set()


def test_runs_are_delivered_without_being_asked(lab: Lab) -> None:
    runs = [lab.create(f"run-{number}") for number in range(3)]
    for run in runs:
        sender.current().add(Delivery(run.folder, lab.server, run))
    for step in range(100):
        for run in runs:
            run.metrics({"a": float(step)}, step)
    for run in runs:
        run.end(RunStatus.FINISHED)
    wait_until(lambda: not any(run.folder.path.exists() for run in runs), "all delivered")
    for run in runs:
        assert [step for step, _, _ in lab.history(run.key, "a")] == list(range(100))


def test_a_hanging_server_holds_up_nobody_who_writes(
    lab: Lab, tracker: MLflowTracker, proxy: Proxy, hanging: threading.Event
) -> None:
    first = tracker.start_run("first", {}, None)
    second = tracker.start_run("second", {}, None)
    for step in range(1000):
        tracker.log(first.id, metrics={"a": float(step)}, step=step)
        tracker.log(second.id, params={f"p{step % 50}": step % 50})
    assert not hanging.is_set()
    assert first.mlflow_id is None
    assert lab.runs(first.key) == []
    assert 1 <= len(proxy.lines) <= 2  # one call is out, and hangs
    hanging.set()
    ended = [tracker.end_run(run.key, RunStatus.FINISHED) for run in (first, second)]
    assert all(run.mlflow_id for run in ended)
    assert [step for step, _, _ in lab.history(first.key, "a")] == list(range(1000))
    assert len(lab.params(second.key)) == 50


def test_a_server_that_comes_back_gets_everything_once(lab: Lab, proxy: Proxy) -> None:
    down = [True]
    proxy.fault = lambda exchange: down[0]
    run = lab.create()
    sender.current().add(Delivery(run.folder, lab.server, run))
    run.metrics({"a": 1.0}, 1)
    wait_until(lambda: isinstance(sender.current().trouble(run), ServiceUnavailable), "trouble is told")
    assert not sender.current().flush(run, lambda: run.delivered, 60, down_s=0)
    run.metrics({"a": 2.0}, 2)
    down[0] = False
    assert sender.current().flush(run, lambda: run.delivered, 60, down_s=60)
    assert sender.current().trouble(run) is None
    assert [step for step, _, _ in lab.history(run.key, "a")] == [1, 2]
    run.end(RunStatus.FINISHED)
    wait_until(lambda: not run.folder.path.exists(), "the folder goes")


def test_pauses_grow_to_a_limit_and_begin_anew() -> None:
    pace = sender._Pace()
    pauses = []
    for _ in range(12):
        pace.failed(MLOpsError("down"))
        pauses.append(pace.not_before - pace.failed_at)
    assert 0.2 <= pauses[0] <= 0.4
    assert all(5.0 <= pause <= 10.0 for pause in pauses[-4:])
    pace.worked()
    assert (pace.failures, pace.not_before, pace.error) == (0, 0.0, None)
    pace.failed(MLOpsError("down"))
    assert pace.not_before - pace.failed_at <= 0.4


def test_one_run_that_cannot_be_delivered_holds_up_no_other(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    broken, good = lab.create("broken"), lab.create("good")
    (broken.folder.path / "mlflow_id").mkdir()  # nobody can write there
    for run in (broken, good):
        run.metrics({"a": 1.0}, 1)
        run.end(RunStatus.FINISHED)
        sender.current().add(Delivery(run.folder, lab.server, run))
    wait_until(lambda: not good.folder.path.exists(), "the good one is delivered")
    wait_until(lambda: sender.current().trouble(broken), "the broken one is told")
    assert broken.folder.segments()
    (broken.folder.path / "mlflow_id").rmdir()
    wait_until(lambda: not broken.folder.path.exists(), "the broken one is mended")
    assert len(lab.runs(broken.key)) == 1


def test_a_disk_that_fails_to_sync_does_not_end_the_sender(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.create()

    def fail(self: RunJournal) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(RunJournal, "sync", fail)
        sender.current().add(Delivery(run.folder, lab.server, run))
        run.end(RunStatus.FINISHED)
        wait_until(lambda: not run.folder.path.exists(), "delivered")
    after = lab.create()
    sender.current().add(Delivery(after.folder, lab.server, after))
    after.end(RunStatus.FINISHED)
    wait_until(lambda: not after.folder.path.exists(), "the next one, too")


def test_a_forked_child_delivers_what_it_wrote(lab: Lab, tracker: MLflowTracker) -> None:
    run = tracker.start_run("forks", {}, None)
    tracker.log(run.id, metrics={"parent": 1.0}, step=0)
    children = []
    for number in range(3):
        if (child := os.fork()) == 0:
            status = 1
            try:
                for step in range(50):
                    tracker.log(run.key, metrics={f"child{number}": float(step)}, step=step)
                tracker.end_run(run.key, RunStatus.FINISHED)  # only left: it is the parent's
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    tracker.end_run(run.id, RunStatus.FINISHED)
    wait_until(lambda: not (lab.journal / run.key).exists(), "all delivered")
    for number in range(3):
        assert [step for step, _, _ in lab.history(run.key, f"child{number}")] == list(range(50))
    assert lab.run(run.key)["info"]["status"] == "FINISHED"


def test_what_waits_is_on_the_disk_and_not_in_memory(lab: Lab, proxy: Proxy, tmp_path: Path) -> None:
    proxy.fault = lambda exchange: True
    run = lab.create()
    delivery = Delivery(run.folder, lab.server, run)
    for step in range(5000):
        run.metrics({"a": 1.0, "b": 2.0}, step)
    with pytest.raises(ServiceUnavailable):
        delivery.step()
    assert delivery._cursors == {}
    proxy.fault = lambda exchange: "log-batch" in exchange.line
    with pytest.raises(ServiceUnavailable):
        delivery.step()
    batch, _, _ = delivery._read(delivery._cursors[run.folder.segments()[0]])
    assert len(batch) == 1000
    delivery.release()
