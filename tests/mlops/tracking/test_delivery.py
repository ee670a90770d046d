"""One run's way to a real server: everything once, in order, and what is refused is kept to be seen."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from mlops.entities import DataVersion, RunStatus
from mlops.errors import ServiceUnavailable
from mlops.tracking import pending
from mlops.tracking.delivery import Delivery
from mlops.tracking.journal import RunJournal
from mlops.tracking.records import check_records
from mlops.tracking.rest import Rest
from mlops.tracking.run_folder import RunFolder, run_folders
from tests.mlops.tracking.conftest import Lab
from tests.mlops.tracking.proxy import Exchange, Proxy, answer


def texts(run: RunJournal, params: dict[str, Any] | None = None, tags: dict[str, str] | None = None) -> None:
    run.texts(check_records(params, None, tags, 0, None))


def refused(run: RunJournal) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.folder.refused.read_text().splitlines()]


def test_everything_arrives_once_and_the_folder_goes(lab: Lab) -> None:
    run = lab.create("whole", tags={"kind": "test"})
    for step in range(2500):
        run.metrics({"loss": step / 7, "odd": math.nan if step == 3 else -0.0}, step)
    texts(run, {"rate": 0.1, "note": '漢 "q" \\ 😀'})
    for number in range(250):
        texts(run, None, {"last": str(number), f"t{number}": "x"})
    run.end(RunStatus.FINISHED)
    delivery = lab.deliver(run)
    assert delivery.finished
    assert run.delivered
    assert not run.folder.path.exists()
    assert list(lab.journal.iterdir()) == []
    assert [(step, value) for step, value, _ in lab.history(run.key, "loss")] == [
        (step, step / 7) for step in range(2500)
    ]
    odd = lab.history(run.key, "odd")
    assert len(odd) == 2500
    assert [step for step, value, _ in odd if math.isnan(value)] == [3]
    assert lab.params(run.key) == {"rate": "0.1", "note": '漢 "q" \\ 😀'}
    tags = lab.tags(run.key)
    assert (tags["kind"], tags["last"], tags["t0"], tags["t249"]) == ("test", "249", "x", "x")
    info = lab.run(run.key)["info"]
    assert (info["status"], info["end_time"], info["start_time"]) == (
        "FINISHED",
        run.ended_ms,
        run.opening.started_ms,
    )
    assert info["run_name"] == "whole"


def test_a_call_of_more_keys_than_a_request_holds(lab: Lab) -> None:
    run = lab.create()
    run.metrics({f"k{number}": float(number) for number in range(1200)}, 5)
    run.end(RunStatus.FINISHED)
    lab.deliver(run)
    found = {each["key"]: float(each["value"]) for each in lab.run(run.key)["data"]["metrics"]}
    assert found == {f"k{number}": float(number) for number in range(1200)}


def test_files_arrive_under_their_names(lab: Lab, tmp_path: Path) -> None:
    run = lab.create()
    folder = tmp_path / "results of ünï"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "empty").touch()
    (folder / "a b.txt").write_text("ab")
    (tmp_path / "big.bin").write_bytes(os.urandom(1 << 20) * 20)
    run.file(folder, None)
    run.file(folder, "all", contents=True)
    run.file(tmp_path / "big.bin", "below/it")
    run.end(RunStatus.FINISHED)
    lab.deliver(run)
    assert lab.files(run.key) == {
        f"{folder.name}/deep/empty": 0,
        f"{folder.name}/a b.txt": 2,
        "all/deep/empty": 0,
        "all/a b.txt": 2,
        "below/it/big.bin": 20 << 20,
    }


@pytest.mark.parametrize("name", ["with#hash", "a&b=c", "quest?ion", "100%", "a+b", "semi;colon"])
def test_an_odd_file_name_arrives_or_is_kept_as_refused(lab: Lab, tmp_path: Path, name: str) -> None:
    run = lab.create()
    (tmp_path / name).write_text("odd")
    run.file(tmp_path / name, None)
    run.end(RunStatus.FINISHED)
    lab.deliver(run)
    if run.folder.path.exists():
        assert [each["name"] for each in refused(run)] == [name]
        (copy,) = run.folder.files.rglob(name)
        assert copy.read_text() == "odd"
    else:
        assert lab.files(run.key) == {name: 3}


def test_a_file_that_was_uploaded_before_a_kill_is_not_refused(lab: Lab, tmp_path: Path) -> None:
    run = lab.create()
    (tmp_path / "MLmodel").write_text("run_id: x")
    run.file(tmp_path / "MLmodel", None)
    for each in list(run.folder.files.rglob("MLmodel")):  # as an upload leaves it that could not say so
        each.unlink()
        each.parent.rmdir()
    run.end(RunStatus.FINISHED)
    lab.deliver(run)
    assert not run.folder.path.exists()


def test_a_models_description_names_the_servers_run(lab: Lab, tmp_path: Path) -> None:
    run = lab.create()
    (tmp_path / "MLmodel").write_text(f"run_id: {run.key}\nother: ü\n")
    (tmp_path / "MLmodel").chmod(0o400)
    run.file(tmp_path / "MLmodel", "model")
    run.end(RunStatus.FINISHED)
    lab.deliver(run)
    run_id = lab.run(run.key)["info"]["run_id"]
    assert lab.files(run.key) == {"model/MLmodel": len(f"run_id: {run_id}\nother: ü\n".encode())}


def test_inputs_arrive(lab: Lab) -> None:
    data = DataVersion("digits", "data/raw", "0" * 32 + ".dir", 12, 1, None, False, "/remote")
    run = lab.create()
    dataset = {"name": data.path, "digest": data.hash[:36], "source_type": "dvc", "source": "{}"}
    body = {"run_id": run.key, "datasets": [{"tags": [], "dataset": dataset}]}
    run.operation({"op": "call", "method": "POST", "path": "/runs/log-inputs", "body": body})
    run.texts(check_records(None, None, {"mlops.error": "ValueError: no"}, 0, None))
    run.end(RunStatus.FAILED)
    lab.deliver(run)
    (found,) = lab.run(run.key)["inputs"]["dataset_inputs"]
    assert found["dataset"]["name"] == "data/raw"
    assert lab.run(run.key)["info"]["status"] == "FAILED"
    assert lab.tags(run.key)["mlops.error"] == "ValueError: no"


def test_a_param_that_another_process_set_is_refused_alone(lab: Lab) -> None:
    run = lab.create()
    texts(run, {"rate": 1})
    run.leave()
    lab.deliver(run)
    other = RunJournal.join(RunFolder(run.folder.path))
    texts(other, {"rate": 2, "depth": 3}, {"t": "1"})
    other.metrics({"a": 1.0})
    other.end(RunStatus.FINISHED)
    lab.deliver(other)
    assert lab.params(run.key) == {"rate": "1", "depth": "3"}
    assert lab.tags(run.key)["t"] == "1"
    assert len(lab.history(run.key, "a")) == 1
    (record,) = refused(run)
    assert (record["op"], record["key"], record["value"]) == ("params", "rate", "2")
    assert "rate" in record["reason"]
    assert lab.tags(run.key)["mlops.refused"] == "1"
    assert not any(pending.waits(folder) for folder in run_folders(lab.journal))


def test_what_a_deleted_run_was_sent_is_kept_as_refused(lab: Lab) -> None:
    run = lab.create()
    lab.deliver(run)
    lab.server.delete_run(lab.run(run.key)["info"]["run_id"])
    for step in range(30):
        run.metrics({"a": float(step)}, step)
    run.end(RunStatus.FINISHED)
    assert lab.deliver(run).finished
    steps = [each["step"] for each in refused(run) if each["op"] == "metrics"]
    assert steps == list(range(30))
    assert len(lab.runs(run.key)) == 1


def test_a_run_of_a_deleted_experiment_goes_to_the_projects_own(lab: Lab) -> None:
    name = f"gone-{os.urandom(4).hex()}"
    experiment = lab.rest.call("POST", "/experiments/create", {"name": name})["experiment_id"]
    lab.rest.call("POST", "/experiments/delete", {"experiment_id": experiment})
    run = lab.create(experiment=name)
    run.metrics({"a": 1.0})
    run.end(RunStatus.FINISHED)
    lab.deliver(run)
    assert lab.run(run.key)["info"]["experiment_id"] == lab.server.experiment_id
    assert len(lab.history(run.key, "a")) == 1
    (record,) = refused(run)
    assert (record["op"], record["experiment"]) == ("run", name)
    assert "deleted" in record["reason"]


def cut_after(path: str, times: int = 1) -> Any:
    """The server does what it was asked, and its answer is lost."""
    left = [times]

    def fault(exchange: Exchange) -> bool:
        if path not in exchange.line or not left[0]:
            return False
        left[0] -= 1
        exchange.forward()
        return True

    return fault


def finish(lab: Lab, run: RunJournal) -> int:
    """Deliver, again after each failure; returns how many there were."""
    delivery, failures = Delivery(run.folder, lab.server, run), 0
    while not delivery.finished and failures < 20:
        try:
            while delivery.step():
                pass
        except ServiceUnavailable:
            failures += 1
    assert delivery.finished
    return failures


@pytest.mark.parametrize("path", ["/runs/create", "/runs/log-batch", "/runs/update", "/artifacts/"])
def test_an_answer_that_is_lost_costs_nothing_and_doubles_nothing(
    lab: Lab, proxy: Proxy, tmp_path: Path, path: str
) -> None:
    (tmp_path / "file.txt").write_text("file")
    run = lab.create()
    for step in range(1500):
        run.metrics({"a": float(step)}, step)
    texts(run, {"p": 1}, {"t": "1"})
    run.file(tmp_path / "file.txt", None)
    run.end(RunStatus.FINISHED)
    proxy.fault = cut_after(path, 2)
    assert finish(lab, run) > 0
    assert len(lab.runs(run.key)) == 1
    assert [step for step, _, _ in lab.history(run.key, "a")] == list(range(1500))
    assert lab.params(run.key) == {"p": "1"}
    assert lab.files(run.key) == {"file.txt": 4}
    assert lab.run(run.key)["info"]["status"] == "FINISHED"
    assert not run.folder.path.exists()


@pytest.mark.parametrize(
    "raw",
    [
        answer(503),
        answer(429),
        answer(502, b"<html>", "text/html"),
        answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "boom"}'),
        answer(400, b'{"error_code": "BAD_REQUEST", "message": "QueuePool limit"}'),
        answer(200, b"<html>a proxy's page", "text/html"),
        answer(200, b'{"half": ')[:-5],
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
    ids=["503", "429", "502", "500", "database", "page", "half", "half head", "nothing"],
)
def test_a_server_in_trouble_refuses_nothing(lab: Lab, proxy: Proxy, raw: bytes) -> None:
    left = [2]

    def fault(exchange: Exchange) -> bool:
        if "/log-batch" not in exchange.line or not left[0]:
            return False
        left[0] -= 1
        exchange.answer(raw)
        return True

    proxy.fault = fault
    run = lab.create()
    run.metrics({"a": 1.0}, 1)
    run.end(RunStatus.FINISHED)
    assert finish(lab, run) >= 2
    assert len(lab.history(run.key, "a")) == 1
    assert not run.folder.path.exists()


def test_a_record_at_which_the_server_always_fails_is_refused_in_the_end(lab: Lab, proxy: Proxy) -> None:
    def fault(exchange: Exchange) -> bool:
        if b"poison" not in exchange.body:
            return False
        exchange.answer(answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "boom"}'))
        return True

    proxy.fault = fault
    run = lab.create()
    run.metrics({"poison": 1.0, "good": 2.0})
    run.end(RunStatus.FINISHED)
    assert finish(lab, run) > 1
    assert [each["key"] for each in refused(run)] == ["poison"]
    assert len(lab.history(run.key, "good")) == 1


def test_two_deliveries_of_one_run_never_run_at_once(lab: Lab) -> None:
    run = lab.create()
    run.metrics({"a": 1.0})
    other = Delivery(RunFolder(run.folder.path), lab.server)
    assert other.step() is False
    assert lab.runs(run.key) == []
    first = Delivery(run.folder, lab.server, run)
    first.step()
    assert other.step() is False
    assert not other.finished
    run.end(RunStatus.FINISHED)
    while first.step():
        pass
    assert first.finished
    assert other.step() is False
    assert other.finished
    assert len(lab.history(run.key, "a")) == 1


def test_a_segment_whose_tail_is_torn_loses_only_that(lab: Lab) -> None:
    run = lab.create()
    for step in range(10):
        run.metrics({"a": float(step)}, step)
    run.end(RunStatus.FINISHED)
    (segment,) = run.folder.segments()
    segment.write_bytes(segment.read_bytes()[:-3])  # the status
    lab.deliver(run)
    assert len(lab.history(run.key, "a")) == 10
    assert [each["op"] for each in refused(run)] == ["torn"]


def test_a_fork_that_begins_to_write_while_the_folder_closes_is_not_lost(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lab.create()
    run.metrics({"a": 1.0}, 1)
    joined = RunJournal.join(RunFolder(run.folder.path))
    run.end(RunStatus.FINISHED)
    rename = Path.rename

    def write_first(path: Path, to: Path) -> Path:
        if path == run.folder.path:
            monkeypatch.setattr(Path, "rename", rename)
            joined.metrics({"a": 2.0}, 2)
            joined.leave()
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", write_first)
    delivery = Delivery(run.folder, lab.server, run)
    for _ in range(20):
        delivery.step()
    assert delivery.finished
    assert [step for step, _, _ in lab.history(run.key, "a")] == [1, 2]
    assert not run.folder.path.exists()


def test_a_long_segment_is_read_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops.tracking import delivery

    made: list[Path] = []

    class Counted(delivery._Cursor):
        def __init__(self, segment: Path) -> None:
            made.append(segment)
            super().__init__(segment)

    monkeypatch.setattr(delivery, "_Cursor", Counted)
    run = lab.create()
    for step in range(1000):
        run.metrics({"a": 1.0, "b": 1.0}, step)
    run.end(RunStatus.FINISHED)
    segments = run.folder.segments()
    lab.deliver(run)
    assert made == segments


def test_a_new_port_is_followed_and_one_connection_is_kept(lab: Lab, proxy: Proxy) -> None:
    second = Proxy(lab.account.url)
    at = [proxy.url]
    rest = Rest(lambda: at[0], lab.account.namespace, lab.account.username, lab.account.password)
    for _ in range(10):
        rest.call("GET", "/experiments/get", query={"experiment_id": lab.account.experiment_id})
    assert (proxy.connections, len(proxy.lines)) == (1, 10)
    at[0] = second.url
    rest.call("GET", "/experiments/get", query={"experiment_id": lab.account.experiment_id})
    assert (proxy.connections, len(proxy.lines), second.connections) == (1, 10, 1)
    rest._session().close()
    second.close()
