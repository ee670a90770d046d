"""A run's life in one process: blocks, runs left open, children, ends; what it prints, and what it is."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import PIL.Image
import plotly.graph_objects
import pytest
import yaml

from mlops import MLOpsClient, errors
from mlops.entities import ModelVersion, RunStatus
from tests.mlops.programs import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, backend="memory")


@pytest.fixture
def client(home: Home) -> MLOpsClient:
    return home.client()


def in_thread(task: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(task).result(60)


def artifact(client: MLOpsClient, run_id: str, name: str) -> Path:
    return client._workspace.tracking._artifacts() / run_id / name


# -- in a block ---------------------------------------------------------------------------------


def test_a_run_tells_what_it_is(client: MLOpsClient) -> None:
    with client.start_run("first") as run:
        assert (run.project, run.name, run.status) == ("alpha", "first", RunStatus.RUNNING)
        assert run.id == run.mlflow_id == run.key == client.get_run(run.key).key
        assert repr(run) == f"<run 'first' of alpha, RUNNING: {run.id}>"
    assert run.status is RunStatus.FINISHED
    assert "FINISHED" in repr(run)


def test_a_notebook_shows_a_run_with_a_link_and_without_markup_in_its_name(client: MLOpsClient) -> None:
    with client.start_run("<b>&") as run:
        assert "&lt;b&gt;&amp;" in run._repr_html_()
        assert "<a " not in run._repr_html_()


def test_a_run_inside_a_run_is_its_child(client: MLOpsClient) -> None:
    with client.start_run() as outer:
        with client.start_run(tags={"kind": "fold"}) as inner:
            pass
        with client.start_run(tags={"mlflow.parentRunId": "another"}) as adopted:
            pass
    with client.start_run() as alone:
        pass
    assert client.get_run(inner.id).tags == {"mlflow.parentRunId": outer.id, "kind": "fold"}
    assert client.get_run(adopted.id).tags["mlflow.parentRunId"] == "another"
    assert "mlflow.parentRunId" not in client.get_run(alone.id).tags


class Cancelled(BaseException):
    """Like those of anyio and trio."""


@pytest.mark.parametrize(
    ("raised", "status", "text"),
    [
        (ValueError("bad"), RunStatus.FAILED, "ValueError: bad"),
        (SystemExit(3), RunStatus.FAILED, "SystemExit: 3"),
        (SystemExit("why"), RunStatus.FAILED, "SystemExit: why"),
        (SystemExit(0), RunStatus.FINISHED, None),
        (SystemExit(), RunStatus.FINISHED, None),
        (KeyboardInterrupt(), RunStatus.KILLED, None),
        (asyncio.CancelledError(), RunStatus.KILLED, None),
        (Cancelled(), RunStatus.KILLED, None),
    ],
)
def test_the_end_follows_what_was_raised(
    client: MLOpsClient, raised: BaseException, status: RunStatus, text: str | None
) -> None:
    with pytest.raises(type(raised)) as caught, client.start_run() as run:
        raise raised
    assert caught.value is raised
    seen = client.get_run(run.id)
    assert (seen.status, seen.tags.get("mlops.error")) == (status, text)
    assert not hasattr(raised, "__notes__")


def test_a_run_that_was_finished_inside_its_block_stays_as_it_ended(client: MLOpsClient) -> None:
    with client.start_run() as run:
        run.finish("FAILED")
        with pytest.raises(errors.RunEnded):
            client.log_metrics({"x": 1})
    assert client.get_run(run.id).status is RunStatus.FAILED


def test_a_run_that_ended_is_not_entered_again(client: MLOpsClient) -> None:
    with client.start_run() as run:
        pass
    with pytest.raises(errors.RunEnded), run:
        pass


def test_a_cancelled_task_kills_its_run_and_no_other(client: MLOpsClient) -> None:
    runs = {}

    async def work(name: str, begun: asyncio.Event) -> None:
        with client.start_run(name) as run:
            runs[name] = run
            client.log_params({"name": name})
            begun.set()
            await asyncio.sleep(0 if name == "short" else 3600)
            client.log_metrics({"done": 1})

    async def main() -> None:
        events = {name: asyncio.Event() for name in ("long", "short")}
        tasks = {name: asyncio.create_task(work(name, event)) for name, event in events.items()}
        for event in events.values():
            await event.wait()
        await tasks["short"]
        tasks["long"].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks["long"]

    asyncio.run(main())
    long, short = (client.get_run(runs[name].id) for name in ("long", "short"))
    assert (long.status, long.params, long.metrics) == (RunStatus.KILLED, {"name": "long"}, {})
    assert (short.status, short.params, short.metrics) == (RunStatus.FINISHED, {"name": "short"}, {"done": 1})


def test_tasks_started_in_a_block_write_into_its_run(client: MLOpsClient) -> None:
    async def work(number: int) -> None:
        await asyncio.to_thread(client.log_metrics, {f"m{number}": number})

    async def main() -> str:
        with client.start_run() as run:
            await asyncio.gather(*(work(number) for number in range(3)))
        return run.id

    assert client.get_run(asyncio.run(main())).metrics == {"m0": 0, "m1": 1, "m2": 2}


def test_a_generator_that_is_dropped_kills_its_run(client: MLOpsClient) -> None:
    def steps():
        with client.start_run() as run:
            yield run
            yield run

    begun = steps()
    run = next(begun)
    begun.close()
    assert client.get_run(run.id).status is RunStatus.KILLED


def test_a_block_may_be_ended_from_another_thread(home: Home) -> None:
    client = Home(home.root.parent).client()  # over the journal: MLflow's own API follows the context
    with client.start_run() as run:
        in_thread(run.finish)
        with pytest.raises(errors.RunEnded):
            client.log_metrics({"x": 1})
    with pytest.raises(errors.NoActiveRun):
        client.log_metrics({"x": 1})


# -- left open ----------------------------------------------------------------------------------


def test_a_run_left_open_is_every_threads_until_it_is_finished(client: MLOpsClient) -> None:
    run = client.start_run("cells")
    client.log_metrics({"here": 1})
    in_thread(lambda: client.log_metrics({"thread": 2}))
    contextvars.Context().run(client.log_metrics, {"cell": 3})
    run.finish()
    assert client.get_run(run.id).metrics == {"here": 1, "thread": 2, "cell": 3}
    assert client.get_run(run.id).status is RunStatus.FINISHED
    with pytest.raises(errors.NoActiveRun):
        client.log_metrics({"late": 1})


@pytest.mark.parametrize("status", ["FAILED", RunStatus.KILLED])
def test_a_run_is_finished_with_a_status_and_once(client: MLOpsClient, status: RunStatus | str) -> None:
    run = client.start_run()
    run.finish(status)
    run.finish()
    assert client.get_run(run.id).status == status


@pytest.mark.parametrize("status", ["RUNNING", "done", ""])
def test_what_is_no_end_is_refused(client: MLOpsClient, status: str) -> None:
    run = client.start_run()
    with pytest.raises(errors.InvalidInput, match="does not end"):
        run.finish(status)
    run.finish()


def test_a_cell_run_twice_finishes_the_former_run_and_says_so(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    first = home.client()
    former = first.start_run("former")
    first.log_metrics({"x": 1})
    second = home.client()  # the cell makes its client anew
    run = second.start_run("again")
    second.log_metrics({"x": 2})
    first.log_metrics({"y": 3})
    run.finish()
    former.finish()
    assert first.get_run(former.id).status is RunStatus.FINISHED
    assert first.get_run(former.id).metrics == {"x": 1}
    assert second.get_run(run.id).metrics == {"x": 2, "y": 3}
    assert "'former'" in caplog.text


def test_a_block_finishes_what_was_left_open(client: MLOpsClient) -> None:
    former = client.start_run()
    with client.start_run() as run:
        client.log_metrics({"x": 1})
    assert client.get_run(former.id).status is RunStatus.FINISHED
    assert client.get_run(run.id).metrics == {"x": 1}
    with pytest.raises(errors.NoActiveRun):
        client.log_metrics({"late": 1})


def test_a_block_in_a_thread_leaves_the_notebooks_run_open(client: MLOpsClient) -> None:
    def work() -> str:
        with client.start_run("fold") as run:
            client.log_metrics({"of": 1})
        return run.id

    left = client.start_run("notebook")
    fold = in_thread(work)
    client.log_metrics({"of": 0})
    left.finish()
    assert client.get_run(fold).metrics == {"of": 1}
    assert client.get_run(left.id).metrics == {"of": 0}


def test_a_run_left_open_inside_a_block_is_its_child_and_current_until_finished(client: MLOpsClient) -> None:
    with client.start_run() as outer:
        inner = client.start_run()
        client.log_metrics({"of": 1})
        inner.finish()
        client.log_metrics({"of": 0})
    assert client.get_run(inner.id).metrics == {"of": 1}
    assert client.get_run(inner.id).tags["mlflow.parentRunId"] == outer.id
    assert client.get_run(outer.id).metrics == {"of": 0}


def test_runs_left_open_are_each_projects_own(tmp_path: Path) -> None:
    alpha = Home(tmp_path, backend="memory", project="alpha").client()
    beta = Home(tmp_path, backend="memory", project="beta").client()
    a = alpha.start_run()
    with pytest.raises(errors.NoActiveRun):
        beta.log_metrics({"x": 1})
    b = beta.start_run()
    assert a.status is RunStatus.RUNNING
    alpha.log_metrics({"of": 1})
    beta.log_metrics({"of": 2})
    a.finish()
    b.finish()
    assert alpha.get_run(a.id).metrics == {"of": 1}
    assert beta.get_run(b.id).metrics == {"of": 2}


# -- resumed ------------------------------------------------------------------------------------


def test_a_run_goes_on_by_its_id(client: MLOpsClient) -> None:
    with client.start_run("first") as run:
        client.log_metrics({"x": 1})
    with client.start_run(run_id=run.id, tags={"again": "yes"}) as again:
        assert (again.key, again.name) == (run.key, "first")
        assert client.get_run(run.id).status is RunStatus.RUNNING
        client.log_metrics({"y": 2})
    seen = client.get_run(run.id)
    assert (seen.status, seen.metrics, seen.tags) == (
        RunStatus.FINISHED,
        {"x": 1, "y": 2},
        {"again": "yes"},
    )


def test_a_run_that_is_resumed_keeps_its_name(client: MLOpsClient) -> None:
    with client.start_run() as run:
        pass
    with pytest.raises(errors.InvalidInput, match="keeps its name"):
        client.start_run("other", run_id=run.id)
    with pytest.raises(errors.RunNotFound):
        client.start_run(run_id="0" * 32)


def test_a_thread_that_joins_a_run_only_leaves_it(client: MLOpsClient) -> None:
    def join(run_id: str) -> None:
        with client.start_run(run_id=run_id):
            client.log_metrics({"thread": 1})

    with client.start_run() as run:
        in_thread(lambda: join(run.id))
        client.log_metrics({"here": 1})
    seen = client.get_run(run.id)
    assert (seen.status, seen.metrics) == (RunStatus.FINISHED, {"thread": 1, "here": 1})


def test_a_cell_that_resumes_run_twice_has_the_same_run(client: MLOpsClient) -> None:
    run = client.start_run()
    assert client.start_run(run_id=run.id) is run
    run.finish()


# -- what it prints -----------------------------------------------------------------------------


def test_what_a_run_prints_is_its_artifact(client: MLOpsClient, capsys: pytest.CaptureFixture[str]) -> None:
    with client.start_run() as run:
        print("hello")
        with client.start_run() as inner:
            print("inner")
        with client.start_run(capture_output=False) as silent:
            print("of the outer one")
    print("after")
    assert artifact(client, run.id, "output.log").read_text() == "hello\nof the outer one\n"
    assert artifact(client, inner.id, "output.log").read_text() == "inner\n"
    assert not artifact(client, silent.id, "output.log").exists()
    assert capsys.readouterr().out == "hello\ninner\nof the outer one\nafter\n"


def test_a_failed_runs_log_ends_with_the_traceback(client: MLOpsClient) -> None:
    def fail() -> None:
        print("before")
        _ = 1 / 0

    with pytest.raises(ZeroDivisionError), client.start_run() as run:
        fail()
    text = artifact(client, run.id, "output.log").read_text()
    assert text.startswith("before\nTraceback")
    assert text.endswith("ZeroDivisionError: division by zero\n")


def test_a_run_that_printed_nothing_has_no_log(client: MLOpsClient) -> None:
    with client.start_run() as run:
        pass
    assert not artifact(client, run.id, "output.log").exists()


def test_capturing_is_turned_off_by_the_setting(home: Home) -> None:
    home.config = home.config.model_copy(update={"capture_output": False})
    client = home.client()
    with client.start_run() as run:
        print("x")
    with client.start_run(capture_output=True) as asked:
        print("y")
    assert not artifact(client, run.id, "output.log").exists()
    assert artifact(client, asked.id, "output.log").read_text() == "y\n"


def test_a_resumed_run_keeps_the_log_it_had(client: MLOpsClient) -> None:
    with client.start_run() as run:
        print("first")
    with client.start_run(run_id=run.id):
        print("second")
    logs = sorted(artifact(client, run.id, ".").glob("output*.log"))
    assert [each.read_text() for each in logs] == ["second\n", "first\n"]


def test_threads_with_runs_of_their_own_print_to_their_own_logs(client: MLOpsClient) -> None:
    together = threading.Barrier(3)

    def work(number: int) -> str:
        with client.start_run() as run:
            for line in range(20):
                together.wait(60)
                print(f"{number} {line}")
        return run.id

    with ThreadPoolExecutor(3) as pool:
        ids = list(pool.map(work, range(3)))
    for number, run_id in enumerate(ids):
        text = artifact(client, run_id, "output.log").read_text()
        assert text == "".join(f"{number} {line}\n" for line in range(20))


# -- figures, texts and mappings ----------------------------------------------------------------


def figure() -> matplotlib.figure.Figure:
    made = matplotlib.figure.Figure()
    made.add_subplot().plot([1, 2])
    return made


@pytest.mark.parametrize(
    ("make", "name", "magic"),
    [
        (figure, "plots/loss.png", b"\x89PNG"),
        (figure, "loss.pdf", b"%PDF"),
        (lambda: plotly.graph_objects.Figure(), "deep/er/loss.html", b"<html"),
        (lambda: PIL.Image.fromarray(np.zeros((4, 4), np.uint8)), "image.png", b"\x89PNG"),
    ],
)
def test_figures_are_artifacts(
    client: MLOpsClient, make: Callable[[], object], name: str, magic: bytes
) -> None:
    with client.start_run() as run:
        client.log_figure(make(), name)
    assert artifact(client, run.id, name).read_bytes().startswith(magic)


def test_texts_and_mappings_are_artifacts(client: MLOpsClient) -> None:
    value = {"name": "größe", "nested": {"x": [1, 2.5, None]}}
    with client.start_run() as run:
        client.log_text("one\r\nzwei ß\n", "notes/read me.txt")
        client.log_dict(value, "value.json")
        client.log_dict(value, "conf/value.YAML")
    assert artifact(client, run.id, "notes/read me.txt").read_bytes() == "one\r\nzwei ß\n".encode()
    assert json.loads(artifact(client, run.id, "value.json").read_text()) == value
    assert yaml.safe_load(artifact(client, run.id, "conf/value.YAML").read_text()) == value


WRONG: dict[str, Callable[[MLOpsClient], object]] = {
    "no figure": lambda client: client.log_figure([1, 2], "x.png"),
    "a figure's unknown suffix": lambda client: client.log_figure(figure(), "x.nothing"),
    "no text": lambda client: client.log_text(b"x", "x.txt"),
    "a mapping's unknown suffix": lambda client: client.log_dict({}, "x.txt"),
    "a value JSON cannot hold": lambda client: client.log_dict({"x": object()}, "x.json"),
    "a value YAML cannot hold": lambda client: client.log_dict({"x": object()}, "x.yaml"),
    "no mapping": lambda client: client.log_dict(3, "x.json"),
    "no name": lambda client: client.log_text("x", ""),
    "a folder": lambda client: client.log_text("x", "plots/"),
    "a name that leaves the run": lambda client: client.log_text("x", "../x.txt"),
    "an absolute name": lambda client: client.log_text("x", "/etc/x.txt"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_kept_is_refused_by_name(client: MLOpsClient, case: str) -> None:
    with client.start_run() as run:
        with pytest.raises(errors.InvalidInput):
            WRONG[case](client)
        assert list(artifact(client, run.id, ".").glob("**/x.*")) == []


@pytest.mark.parametrize("verb", ["log_figure", "log_text", "log_dict"])
def test_documents_need_a_run(client: MLOpsClient, verb: str) -> None:
    value = {"log_figure": figure(), "log_text": "x", "log_dict": {}}[verb]
    with pytest.raises(errors.NoActiveRun, match=verb):
        getattr(client, verb)(value, "x.json" if verb == "log_dict" else "x.png")


# -- versions that wait -------------------------------------------------------------------------


def test_a_version_that_waits_is_not_deployed(client: MLOpsClient) -> None:
    with client.start_run() as run:
        made = client.log_model(object(), "net", flavor="sklearn")
    pending = ModelVersion("alpha", "net", None, run.key, "sklearn", made.created_at)
    with pytest.raises(errors.VersionPending) as caught:
        client.deploy_model("net", pending)
    assert (caught.value.name, caught.value.run_key) == ("net", run.key)
    with pytest.raises(errors.VersionPending):
        client.deploy_model("net", pending.version)
    with pytest.raises(errors.InvalidInput, match="another model"):
        client.deploy_model("other", made)
