"""What machines, networks and people do to a run's journal, and what becomes of the run."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops.client import MLOpsClient
from mlops.entities import MODEL_KEY, RUN_KEY, VERSION_KEY, RunStatus
from mlops.errors import InvalidInput, MetricNotFound, ServiceUnavailable
from mlops.tracking import sender
from mlops.tracking.delivery import Delivery
from mlops.tracking.journal import RunJournal
from mlops.tracking.mlflow import MLflowTracker
from mlops.tracking.records import check_records
from mlops.tracking.run_folder import Opening, RunFolder, new_key
from tests.mlops.programs import Home
from tests.mlops.tracking.conftest import Lab, wait_until
from tests.mlops.tracking.proxy import Exchange, Proxy

_WATCHDOG_S = 40.0
"""So long the server hangs; less than a caller who waits for its answer would."""


def texts(run: RunJournal, tags: dict[str, str]) -> None:
    run.texts(check_records(None, None, tags, 0, None))


class Hold:
    """The server takes the requests of these paths and answers none, until it is let go."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._back = threading.Event()
        self._expired = False
        self.held = 0

    def begin(self, path: str = "") -> None:
        """Hold every request whose line contains `path`."""

        def hang(exchange: Exchange) -> bool:
            if path not in exchange.line or self._back.is_set():
                return False
            self.held += 1
            if not self._back.wait(_WATCHDOG_S):
                self._expired = True
            elif answered := exchange.forward():  # nothing when the server has closed its side meanwhile
                exchange.answer(answered)
            return True

        self._proxy.fault = hang

    @property
    def hangs(self) -> bool:
        """Whether no request was answered yet that it holds, nor given up by it."""
        return not self._back.is_set() and not self._expired

    def let_go(self) -> None:
        self._back.set()


@pytest.fixture
def hold(proxy: Proxy) -> Iterator[Hold]:
    made = Hold(proxy)
    yield made
    made.let_go()


@pytest.fixture
def home(lab: Lab, proxy: Proxy, tmp_path: Path) -> Home:
    """A home whose server is reached through the proxy."""
    return Home(tmp_path, **lab.account.settings() | {"url": proxy.url})


@pytest.fixture
def client(home: Home) -> MLOpsClient:
    """Waits at a run's end for less than the server hangs."""
    config = home.config.model_copy(update={"flush_timeout_s": 5.0})
    return MLOpsClient.from_project(home.project, config=config)


@pytest.fixture
def tracker(lab: Lab, proxy: Proxy) -> MLflowTracker:
    return MLflowTracker(**lab.account.settings() | {"url": proxy.url}, journal=lab.journal)  # type: ignore[arg-type]


# -- a server that hangs ------------------------------------------------------------------------


HANGS = {"everything": "", "runs/get": "/runs/get?"}


@pytest.mark.parametrize("hangs", HANGS)
def test_a_run_starts_while_the_server_hangs(
    lab: Lab, home: Home, client: MLOpsClient, hold: Hold, hangs: str
) -> None:
    hold.begin(HANGS[hangs])
    run = client.start_run("hung", capture_output=False)
    assert hold.hangs
    hold.let_go()
    with run:
        client.log_metrics({"x": 1})
    wait_until(lambda: not home.folders(), "delivered")
    assert lab.run(run.key)["info"]["status"] == "FINISHED"
    assert len(lab.history(run.key, "x")) == 1


@pytest.mark.parametrize("hangs", HANGS)
def test_a_run_ends_while_the_server_hangs(
    lab: Lab, home: Home, client: MLOpsClient, hold: Hold, hangs: str
) -> None:
    run = client.start_run("hung", capture_output=False)
    wait_until(lambda: run.mlflow_id, "the server knows the run")
    hold.begin(HANGS[hangs])
    client.log_metrics({"x": 1})
    run.finish()
    assert hold.hangs
    hold.let_go()
    wait_until(lambda: not home.folders(), "delivered")
    assert lab.run(run.key)["info"]["status"] == "FINISHED"
    assert len(lab.history(run.key, "x")) == 1


def test_a_metric_that_the_server_has_not_taken_yet_is_not_called_unknown(
    client: MLOpsClient, hold: Hold
) -> None:
    run = client.start_run("hung", capture_output=False)
    wait_until(lambda: run.mlflow_id, "the server knows the run")
    hold.begin("/runs/log-batch")
    client.log_metrics({"x": 1})
    with pytest.raises(ServiceUnavailable, match="not wholly there"):
        run.tracking.metric_history(run.key, "x")
    hold.let_go()
    assert [each.value for each in run.tracking.metric_history(run.key, "x")] == [1.0]
    with pytest.raises(MetricNotFound):
        run.tracking.metric_history(run.key, "y")
    run.finish()


RESUMED = ["ended here, by key", "ended here, by id", "of the server, by key", "of the server, by id"]


@pytest.mark.parametrize("hangs", HANGS)
@pytest.mark.parametrize("which", RESUMED)
def test_a_run_is_resumed_while_the_server_hangs(
    lab: Lab, home: Home, client: MLOpsClient, hold: Hold, which: str, hangs: str
) -> None:
    if "here" in which:
        with client.start_run("former", capture_output=False) as former:
            pass
        wait_until(lambda: not home.folders(), "the first part is delivered")
        key, mlflow_id = former.key, str(former.mlflow_id)
    else:
        key, mlflow_id = new_key(), ""
        mlflow_id = ended_at_the_server(lab, key)
    hold.begin(HANGS[hangs])
    run = client.start_run(run_id=key if "key" in which else mlflow_id, capture_output=False)
    assert hold.hangs
    with run:
        client.log_metrics({"again": 1})
        hold.let_go()
    wait_until(lambda: not home.folders(), "delivered")
    (found,) = lab.runs(key)
    assert (found["info"]["run_id"], found["info"]["status"]) == (mlflow_id, "FINISHED")
    assert found["info"]["end_time"] > 1
    assert len(lab.history(key, "again")) == 1


def ended_at_the_server(lab: Lab, key: str) -> str:
    """A run that no process here has written; its id."""
    request = {
        "experiment_id": lab.account.experiment_id,
        "run_name": "elsewhere",
        "start_time": 1,
        "tags": [{"key": RUN_KEY, "value": key}],
    }
    run_id = str(lab.rest.call("POST", "/runs/create", request)["run"]["info"]["run_id"])
    lab.rest.call("POST", "/runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": 1})
    return run_id


def test_a_run_that_is_being_delivered_is_resumed_while_the_server_hangs(
    lab: Lab, home: Home, client: MLOpsClient, hold: Hold
) -> None:
    now = time.time_ns() // 1_000_000
    left = RunJournal.create(home.workspace.journal_dir, Opening(home.project, "left", now, new_key()))
    left.metrics({"x": 1.0})
    left.end(RunStatus.FINISHED)
    Delivery(left.folder, lab.server, left).release()  # as if its process had died
    hold.begin()
    with client.start_run("next", capture_output=False):  # recovers the other
        wait_until(lambda: hold.held, "a request hangs")
    run = client.start_run(run_id=left.key, capture_output=False)
    assert hold.hangs
    with run:
        client.log_metrics({"again": 1})
        hold.let_go()
    wait_until(lambda: not home.folders(), "delivered")
    (found,) = lab.runs(left.key)
    assert found["info"]["status"] == "FINISHED"
    assert len(lab.history(left.key, "x")) == len(lab.history(left.key, "again")) == 1


# -- the clock ----------------------------------------------------------------------------------


def test_a_clock_that_goes_back_does_not_change_the_order(
    lab: Lab, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = lab.create(), time.time_ns
    hours = [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() - hours[0] * 3600 * 10**9)
    for number in range(40):
        run.metrics({"x": float(number)}, number)
        texts(run, {"order": str(number), "bulk": "x" * 8000})
        hours[0] = len(run.folder.segments())
    run.end(RunStatus.FINISHED)
    assert len(run.folder.segments()) > 2
    lab.deliver(run)
    assert not run.folder.path.exists()
    assert lab.tags(run.key)["order"] == "39"
    assert [step for step, _, _ in lab.history(run.key, "x")] == list(range(40))
    assert lab.run(run.key)["info"]["status"] == "FINISHED"
    calls = [line for line in proxy.lines if "/runs/update" in line or "/log-batch" in line]
    assert ["/runs/update" in line for line in calls] == [False] * (len(calls) - 1) + [True]


# -- a run that changes hands -------------------------------------------------------------------


@pytest.fixture
def finishing(lab: Lab, hold: Hold) -> RunJournal:
    """A run that an earlier process left; its last request is on its way, and hangs."""
    left = lab.create("left")
    left.metrics({"x": 1.0})
    left.end(RunStatus.FINISHED)
    Delivery(left.folder, lab.server, left).release()
    hold.begin("/runs/update")
    sender.current().add(Delivery(RunFolder(left.folder.path), lab.server))
    wait_until(lambda: hold.held, "the end is being sent")
    return left


def while_it_waits_for(held: Hold, call: Callable[[], Any]) -> Any:
    """Call it; let the server go on once the sender is asked to hand the run over, and waits."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(call())
        except BaseException as error:
            came.append(error)

    def waits() -> bool:
        names, frame = set(), sys._current_frames().get(thread.ident or 0)
        while frame is not None:
            names.add(frame.f_code.co_name)
            frame = frame.f_back
        return names >= {"hand_over", "wait"} or bool(came)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(waits, "it waits")
    held.let_go()
    wait_until(lambda: came, "it returns")
    thread.join()
    if isinstance(came[0], BaseException):
        raise came[0]
    return came[0]


def test_a_run_that_is_delivered_while_it_is_handed_over_is_no_error(
    lab: Lab, finishing: RunJournal, hold: Hold
) -> None:
    while_it_waits_for(hold, lambda: hand_over(finishing.folder.path))
    wait_until(lambda: not finishing.folder.path.exists(), "it is delivered")
    assert lab.run(finishing.key)["info"]["status"] == "FINISHED"


def hand_over(path: Path) -> None:
    sender.current().hand_over(path, _WATCHDOG_S)


def test_a_run_that_is_delivered_while_it_is_resumed_goes_on(
    lab: Lab, finishing: RunJournal, hold: Hold, tracker: MLflowTracker
) -> None:
    while_it_waits_for(hold, lambda: tracker.resume_run(finishing.key))
    wait_until(lambda: lab.run(finishing.key)["info"]["status"] == "RUNNING", "it runs again")
    tracker.log(finishing.key, metrics={"x": 2.0}, step=1)
    tracker.end_run(finishing.key, RunStatus.FAILED)
    wait_until(lambda: not (lab.journal / finishing.key).exists(), "the second part is delivered")
    assert lab.run(finishing.key)["info"]["status"] == "FAILED"
    assert [step for step, _, _ in lab.history(finishing.key, "x")] == [0, 1]


# -- names and tags that cannot be --------------------------------------------------------------

NAMES = {
    "a long run name": ("run_name", "n" * 9000),
    "a run name with NUL": ("run_name", "a\0b"),
    "a run name with half a character": ("run_name", "a\ud800b"),
    "a long experiment name": ("experiment_name", "n" * 2000),
}


@pytest.mark.parametrize("which", NAMES)
def test_a_name_that_no_server_takes_is_refused_at_once(home: Home, client: MLOpsClient, which: str) -> None:
    field, name = NAMES[which]
    with pytest.raises(InvalidInput) as refusal:
        client.start_run(**{field: name})  # type: ignore[arg-type]
    assert refusal.value.field == field
    assert [*home.workspace.journal_dir.glob("*"), *home.workspace.journal_dir.glob(".*")] == []


@pytest.mark.parametrize("tag", [RUN_KEY, MODEL_KEY, VERSION_KEY])
def test_a_tag_that_tells_what_is_whose_is_not_the_programs(
    lab: Lab, home: Home, client: MLOpsClient, tag: str
) -> None:
    with pytest.raises(InvalidInput, match=tag):
        client.start_run(tags={tag: "mine"})
    assert home.folders() == []
    with client.start_run(capture_output=False) as run:
        with pytest.raises(InvalidInput, match=tag):
            client.set_tags({tag: "mine"})
        with pytest.raises(InvalidInput, match=tag):
            run.tracking.log(run.key, metrics={"x": 1}, tags={tag: "mine"})
    wait_until(lambda: not home.folders(), "delivered")
    assert lab.tags(run.key)[RUN_KEY] == run.key
    assert lab.run(run.key)["data"].get("metrics", []) == []


PARENTS = {
    "another project's run": "../contract-b/{key}",
    "another project's run, by the whole path": "{path}",
    "the folder above": "..",
    "the folder of journals": ".",
    "a quote": "o'b",
    "a condition": "' or tags.`kind` = 'other",
    "unknown text": "no such run",
    "an unknown key": "r-0123456789abcdef0123456789abcdef",
    "long text": "x" * 5000,
}


@pytest.mark.parametrize("other_is_known", [True, False], ids=["delivered", "waiting"])
@pytest.mark.parametrize("which", PARENTS)
def test_a_parent_that_is_no_run_of_the_project_is_only_text(
    lab: Lab, which: str, other_is_known: bool
) -> None:
    folder, now = lab.journal.with_name("contract-b"), time.time_ns() // 1_000_000
    other = RunJournal.create(folder, Opening("contract-b", "other", now, new_key(), tags={"kind": "other"}))
    if other_is_known:
        other.folder.know_as("b" * 32)
    parent = PARENTS[which].format(key=other.key, path=other.folder.path)
    run = lab.create(tags={"mlflow.parentRunId": parent})
    run.metrics({"x": 1.0})
    run.end(RunStatus.FINISHED)
    lab.deliver(run)
    assert lab.tags(run.key)["mlflow.parentRunId"] == parent
    assert lab.run(run.key)["info"]["status"] == "FINISHED"
    assert not run.folder.path.exists()


# -- what is gone or broken ---------------------------------------------------------------------


def test_a_model_whose_maker_was_killed_before_it_was_listed_is_found_again(
    lab: Lab, proxy: Proxy, tmp_path: Path
) -> None:
    run, local = lab.create(), f"m-{os.urandom(16).hex()}"
    body = {"name": "net", "source_run_id": run.key, "tags": [], "params": []}
    run.operation({"op": "model", "id": local, "body": body})
    (tmp_path / "weights").write_text("weights")
    run.file(tmp_path / "weights", None, model=local)
    run.operation({"op": "outputs", "models": [{"model_id": local, "step": 0}]})
    run.end(RunStatus.FINISHED)
    proxy.fault = made_and_not_told
    first = Delivery(run.folder, lab.server, run)
    with pytest.raises(ServiceUnavailable):
        to_the_end(first)
    assert not (run.folder.path / "models.json").exists()
    first.release()  # its process is dead
    proxy.fault = None
    second = Delivery(RunFolder(run.folder.path), lab.server)
    to_the_end(second)
    assert second.finished
    assert not run.folder.path.exists()
    query = {"experiment_ids": [lab.account.experiment_id], "filter": f"tags.`{MODEL_KEY}` = '{local}'"}
    (model,) = lab.rest.call("POST", "/logged-models/search", query)["models"]
    (made,) = lab.run(run.key)["outputs"]["model_outputs"]
    assert made["model_id"] == model["info"]["model_id"]
    place = f"/logged-models/{made['model_id']}/artifacts/directories"
    assert [each["path"] for each in lab.rest.call("GET", place)["files"]] == ["weights"]


def to_the_end(delivery: Delivery) -> None:
    while delivery.step():
        pass


def made_and_not_told(exchange: Exchange) -> bool:
    """The server makes the logged model, and its answer is lost."""
    if "/logged-models HTTP" not in exchange.line:
        return False
    exchange.forward()
    return True
