"""Two projects on one MLflow server: its fluent API, its accounts, its artifacts, and its absence."""

from __future__ import annotations

import contextvars
import http.server
import json
import os
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from mlops.entities import DataVersion, RunStatus
from mlops.errors import Conflict, RunNotFound, ServiceUnavailable, Unauthorized
from mlops.registry.mlflow import MLflowRegistry
from mlops.tracking.admin import MLflowAdmin
from mlops.tracking.mlflow import MLflowTracker

API = "/api/2.0/mlflow"


@pytest.fixture
def accounts(mlflow_accounts: Any) -> Any:
    return mlflow_accounts


@pytest.fixture
def a(accounts: Any, tmp_path: Path) -> MLflowTracker:
    return MLflowTracker(**accounts[0].settings(), journal=tmp_path / "journal-a")


@pytest.fixture
def b(accounts: Any, tmp_path: Path) -> MLflowTracker:
    return MLflowTracker(**accounts[1].settings(), journal=tmp_path / "journal-b")


def start(tracker: MLflowTracker) -> str:
    return tracker.start_run(None, {}, None).id


def in_thread(work: Callable[[], object]) -> object:
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


# -- the fluent API ------------------------------------------------------------------------------


def test_fluent_calls_write_into_the_innermost_activated_run(a: MLflowTracker, b: MLflowTracker) -> None:
    mine, theirs = start(a), start(b)
    with a.activate(mine):
        mlflow.log_metric("before", 1)
        with b.activate(theirs):
            mlflow.log_metric("inside", 2)
            mlflow.log_text("text", "note.txt")
        mlflow.log_param("after", 3)
    assert (a.get_run(mine).metrics, a.get_run(mine).params) == ({"before": 1.0}, {"after": "3"})
    assert b.get_run(theirs).metrics == {"inside": 2.0}
    assert mlflow.active_run() is None


def test_fluent_calls_of_two_projects_in_two_threads_stay_apart(a: MLflowTracker, b: MLflowTracker) -> None:
    meet = threading.Barrier(2, timeout=60)
    runs = {"a": start(a), "b": start(b)}
    failed: list[BaseException] = []

    def work(who: str, tracker: MLflowTracker) -> None:
        try:
            with tracker.activate(runs[who]):
                for step in range(10):
                    meet.wait()
                    mlflow.log_metric(who, step, step=step)
        except BaseException as error:
            failed.append(error)
            meet.abort()

    threads = [threading.Thread(target=work, args=pair) for pair in (("a", a), ("b", b))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert a.get_run(runs["a"]).metrics == {"a": 9.0}
    assert b.get_run(runs["b"]).metrics == {"b": 9.0}


def test_a_thread_started_outside_any_run_fails_by_name_and_writes_nothing(a: MLflowTracker) -> None:
    mine = start(a)
    before = len(a.search_runs(max_results=10_000))
    with a.activate(mine):
        for call in (
            lambda: mlflow.log_metric("lost", 1),
            lambda: mlflow.MlflowClient().get_metric_history(mine, "lost"),
            lambda: mlflow.search_runs(search_all_experiments=True),
        ):
            outcome = in_thread(call)
            assert isinstance(outcome, MlflowException)
            assert "NoActiveRun" in str(outcome)
            assert "copy_context" in str(outcome)
    assert a.get_run(mine).metrics == {}
    assert len(a.search_runs(max_results=10_000)) == before


def test_a_thread_that_runs_in_a_copy_of_the_context_writes_into_the_run(a: MLflowTracker) -> None:
    mine = start(a)

    def in_the_thread() -> str:
        mlflow.log_metric("from_thread", 1)
        with mlflow.start_run(nested=True) as child:
            return str(child.info.run_id)

    with a.activate(mine):
        context = contextvars.copy_context()
        child = in_thread(lambda: context.run(in_the_thread))
        active = mlflow.active_run()
        assert active is not None
        assert active.info.run_id == mine
    assert a.get_run(mine).metrics == {"from_thread": 1.0}
    assert a.get_run(str(child)).tags["mlflow.parentRunId"] == mine


def test_a_nested_run_of_mlflow_is_the_projects(accounts: Any, a: MLflowTracker, b: MLflowTracker) -> None:
    mine = start(a)
    with a.activate(mine), mlflow.start_run(nested=True, run_name="child") as child:
        mlflow.log_metric("x", 1)
    read = a.get_run(child.info.run_id)
    assert read.metrics == {"x": 1.0}
    assert f"/experiments/{accounts[0].experiment_id}/" in read.url
    with pytest.raises(RunNotFound):
        b.get_run(child.info.run_id)


@pytest.mark.filterwarnings("ignore")
def test_autologging_writes_into_the_run(a: MLflowTracker) -> None:
    from sklearn.linear_model import LogisticRegression

    mine = start(a)
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
    try:
        with a.activate(mine):
            LogisticRegression(C=0.5).fit(np.random.default_rng(0).random((20, 2)), np.arange(20) % 2)
    finally:
        mlflow.sklearn.autolog(disable=True, silent=True)
    read = a.get_run(mine)
    assert read.params["C"] == "0.5"
    assert "training_score" in read.metrics


def test_what_the_block_leaves_open_does_not_leak_out_of_it(a: MLflowTracker) -> None:
    mine = start(a)
    with a.activate(mine):
        mlflow.start_run(nested=True)
    assert mlflow.active_run() is None


def test_plain_mlflow_outside_keeps_its_own_runs(a: MLflowTracker, tmp_path: Path) -> None:
    with a.activate(start(a)):
        pass
    ours = mlflow.get_tracking_uri()
    try:
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'own.db'}")
        mlflow.set_experiment("own")
        with mlflow.start_run() as run:
            mlflow.log_metric("x", 1)
        assert mlflow.get_run(run.info.run_id).data.metrics == {"x": 1.0}
    finally:
        mlflow.tracking.fluent._active_experiment_id = None
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
        mlflow.set_tracking_uri(ours)


def test_artifacts_are_listed_and_fetched_within_the_run_alone(
    a: MLflowTracker, b: MLflowTracker, tmp_path: Path
) -> None:
    mine, theirs = start(a), start(b)
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.txt").write_text(name)
        a.log_artifact(mine, tmp_path / f"{name}.txt", "texts")
    with a.activate(mine):
        folder = mlflow.artifacts.download_artifacts(run_id=mine, dst_path=str(tmp_path / "got"))
        assert {file.name for file in Path(folder).rglob("*.txt")} == {"one.txt", "two.txt", "three.txt"}
    with b.activate(theirs), pytest.raises(MlflowException):
        mlflow.artifacts.download_artifacts(run_id=mine)


def test_no_setting_of_the_process_names_a_project(accounts: Any, a: MLflowTracker) -> None:
    with a.activate(start(a)):
        mlflow.log_metric("x", 1)
        assert "MLFLOW_WORKSPACE" not in os.environ
        for account in accounts:
            values = "\n".join(os.environ.values())
            assert account.namespace not in values
            assert account.password not in values


def test_a_run_records_its_data_as_an_input(accounts: Any, a: MLflowTracker) -> None:
    mine = start(a)
    a.log(mine, data=DataVersion("contract-a", "data/raw", "0" * 32 + ".dir", 12, 3, "rev", False, "/r"))
    with a.activate(mine):
        (used,) = mlflow.get_run(mine).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("data/raw", "0" * 32 + ".dir")
    assert used.dataset.source_type == "dvc"
    assert json.loads(used.dataset.source)["path"] == "data/raw"
    tags = {tag.key: tag.value for tag in used.tags}
    assert tags == {
        "mlflow.data.context": "training",
        "mlops.git_revision": "rev",
        "mlops.git_dirty": "false",
        "mlops.remote": "/r",
    }


# -- what the server itself enforces ----------------------------------------------------------------


def test_anonymous_calls_are_refused(accounts: Any, a: MLflowTracker) -> None:
    mine = start(a)
    for path in (f"{API}/runs/get?run_id={mine}", f"{API}/experiments/search?max_results=1", "/graphql"):
        headers = {"X-MLFLOW-WORKSPACE": accounts[0].namespace}
        assert httpx.get(accounts[0].url + path, headers=headers).status_code == 401


def test_a_forged_workspace_header_opens_nothing(accounts: Any, b: MLflowTracker, tmp_path: Path) -> None:
    ours, theirs = accounts
    (tmp_path / "secret.txt").write_text("secret")
    run_id = start(b)
    b.log_artifact(run_id, tmp_path / "secret.txt")
    files = f"/api/2.0/mlflow-artifacts/artifacts/workspaces/{theirs.namespace}"
    below = f"{theirs.experiment_id}/{run_id}/artifacts"
    calls: list[tuple[str, str, Any]] = [
        ("GET", f"{API}/runs/get?run_id={run_id}", None),
        ("POST", f"{API}/runs/update", {"run_id": run_id, "status": "KILLED"}),
        ("POST", f"{API}/runs/delete", {"run_id": run_id}),
        ("POST", f"{API}/runs/log-metric", {"run_id": run_id, "key": "x", "value": 1, "timestamp": 0}),
        ("POST", f"{API}/runs/create", {"experiment_id": theirs.experiment_id}),
        ("GET", f"{API}/experiments/get?experiment_id={theirs.experiment_id}", None),
        ("GET", f"{API}/artifacts/list?run_id={run_id}", None),
        ("GET", f"/get-artifact?run_uuid={run_id}&path=secret.txt", None),
        ("GET", f"{files}/{below}/secret.txt", None),
        ("PUT", f"{files}/{below}/forged.txt", {}),
        ("GET", f"/api/2.0/mlflow-artifacts/artifacts/{below}/secret.txt", None),
        ("GET", f"/api/2.0/mlflow-artifacts/artifacts?path=workspaces/{theirs.namespace}", None),
    ]
    for workspace in (theirs.namespace, ours.namespace, "default"):
        for method, path, body in calls:
            answer = httpx.request(
                method,
                ours.url + path,
                json=body,
                headers={"X-MLFLOW-WORKSPACE": workspace},
                auth=(ours.username, ours.password),
            )
            assert answer.status_code in (400, 403, 404), (
                workspace,
                method,
                path,
                answer.status_code,
                answer.text,
            )
            assert "secret" not in answer.text.replace("secret.txt", "")
    assert b.get_run(run_id).status is RunStatus.RUNNING


def test_an_account_lists_only_its_own(accounts: Any, a: MLflowTracker, b: MLflowTracker) -> None:
    ours, theirs = accounts
    run_id = start(b)
    who = {"auth": (ours.username, ours.password)}
    workspaces = httpx.get(f"{ours.url}/api/3.0/mlflow/workspaces", **who).json()["workspaces"]
    assert {each["name"] for each in workspaces} <= {ours.namespace, "default"}
    for workspace in (theirs.namespace, ours.namespace, "default"):
        answer = httpx.post(
            f"{ours.url}{API}/runs/search",
            json={"experiment_ids": [theirs.experiment_id], "max_results": 100},
            headers={"X-MLFLOW-WORKSPACE": workspace},
            **who,
        )
        assert run_id not in answer.text


def test_an_account_cannot_take_another_accounts_password(accounts: Any) -> None:
    ours, theirs = accounts
    answer = httpx.patch(
        f"{ours.url}{API}/users/update-password",
        json={"username": theirs.username, "password": "taken-over-1234"},
        auth=(ours.username, ours.password),
    )
    assert answer.status_code in (403, 404)


def test_a_wrong_password_is_named(accounts: Any, tmp_path: Path) -> None:
    settings = {**accounts[0].settings(), "password": "wrong-password-1"}
    tracker = MLflowTracker(**settings, journal=tmp_path)
    with pytest.raises(Unauthorized):
        tracker.search_runs()


# -- registering projects ------------------------------------------------------------------------------


def test_preparing_a_project_again_keeps_its_runs(mlflow_server: Any, tmp_path: Path) -> None:
    namespace = f"again-{secrets.token_hex(3)}"
    admin = MLflowAdmin(
        url=mlflow_server.url, username=mlflow_server.username, password=mlflow_server.password
    )
    first = admin.prepare_project(namespace, "first-password-1")
    tracker = tracker_of(mlflow_server.url, namespace, "first-password-1", first, tmp_path)
    run = tracker.start_run(None, {}, None)
    assert admin.prepare_project(namespace, "first-password-1") == first
    assert tracker.get_run(run.id).id == run.id


def test_an_account_of_someone_else_is_named_and_keeps_its_password(
    mlflow_server: Any, tmp_path: Path
) -> None:
    namespace = f"taken-{secrets.token_hex(3)}"
    admin = MLflowAdmin(
        url=mlflow_server.url, username=mlflow_server.username, password=mlflow_server.password
    )
    experiment = admin.prepare_project(namespace, "first-password-1")
    with pytest.raises(Conflict, match=namespace) as caught:
        admin.prepare_project(namespace, "second-password-2")
    assert "namespace" in caught.value.remedy
    assert "second-password-2" not in str(caught.value)
    tracker_of(mlflow_server.url, namespace, "first-password-1", experiment, tmp_path).search_runs()
    with pytest.raises(Unauthorized):
        tracker_of(mlflow_server.url, namespace, "second-password-2", experiment, tmp_path).search_runs()


def test_a_server_on_this_machine_is_reached_past_a_proxy(
    mlflow_server: Any,
    other_server: tuple[str, list[dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    proxy, seen = other_server
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    namespace = f"near-{secrets.token_hex(3)}"
    admin = MLflowAdmin(
        url=mlflow_server.url, username=mlflow_server.username, password=mlflow_server.password
    )
    experiment = admin.prepare_project(namespace, "some-password-1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # put back afterwards
    tracker_of(mlflow_server.url, namespace, "some-password-1", experiment, tmp_path).search_runs()
    assert seen == []


def test_a_removed_project_is_gone_and_can_be_made_anew(mlflow_server: Any, tmp_path: Path) -> None:
    namespace = f"gone-{secrets.token_hex(3)}"
    admin = MLflowAdmin(
        url=mlflow_server.url, username=mlflow_server.username, password=mlflow_server.password
    )
    experiment = admin.prepare_project(namespace, "some-password-1")
    before = tracker_of(mlflow_server.url, namespace, "some-password-1", experiment, tmp_path / "before")
    start(before)
    (run,) = before.search_runs()  # at the server, not in the journal alone
    admin.remove(namespace)
    admin.remove(namespace)
    assert (
        httpx.get(f"{mlflow_server.url}{API}/runs/get", auth=(namespace, "some-password-1")).status_code
        == 401
    )
    fresh = admin.prepare_project(namespace, "next-password-2")
    with pytest.raises(RunNotFound):
        tracker_of(mlflow_server.url, namespace, "next-password-2", fresh, tmp_path / "after").get_run(run.id)


def test_an_administrator_with_a_wrong_password_is_refused(mlflow_server: Any) -> None:
    with pytest.raises(Unauthorized):
        MLflowAdmin(url=mlflow_server.url, username="admin", password="wrong").prepare_project("x", "y" * 12)


def tracker_of(url: str, namespace: str, password: str, experiment_id: str, journal: Path) -> MLflowTracker:
    return MLflowTracker(
        project=namespace,
        namespace=namespace,
        url=url,
        username=namespace,
        password=password,
        experiment_id=experiment_id,
        journal=journal,
    )


# -- other servers, and none ---------------------------------------------------------------------------


@pytest.fixture
def other_server() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Another HTTP server, and the headers of each request that came to it."""
    seen: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            seen.append({key.lower(): value for key, value in self.headers.items()})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_requests_to_another_mlflow_server_carry_nothing_of_ours(
    a: MLflowTracker, other_server: tuple[str, list[dict[str, str]]]
) -> None:
    url, seen = other_server

    def call() -> None:
        mlflow.MlflowClient(tracking_uri=url).get_run(uuid.uuid4().hex)

    with a.activate(start(a)):
        call()
        assert in_thread(call) is None
    call()
    assert len(seen) == 3
    for headers in seen:
        assert "authorization" not in headers
        assert "x-mlflow-workspace" not in headers


def test_a_server_that_is_down_is_named_by_what_needs_it(accounts: Any, tmp_path: Path) -> None:
    settings = {**accounts[0].settings(), "url": "http://127.0.0.1:9"}
    tracker, registry = MLflowTracker(**settings, journal=tmp_path), MLflowRegistry(**settings)
    admin = MLflowAdmin(url="http://127.0.0.1:9", username="admin", password="x")
    for call in (
        lambda: tracker.search_runs(),
        lambda: registry.list_versions(),
        lambda: admin.prepare_project("project", "password-1234"),
    ):
        with pytest.raises(ServiceUnavailable) as caught:
            call()
        assert caught.value.service == "mlflow"


# -- the flavors ---------------------------------------------------------------------------------------


def test_onnx_torch_and_sklearn_models_answer_the_same_after_a_round_trip(
    accounts: Any, a: MLflowTracker, tmp_path: Path
) -> None:
    import torch
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    registry, run_id = MLflowRegistry(**accounts[0].settings()), start(a)
    x = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    sk = LogisticRegression().fit(x, np.arange(20) % 2)
    net = torch.nn.Linear(4, 2)
    onnx_model = to_onnx(sk, x[:1], options={"zipmap": False})
    labels = sk.predict(x)
    outputs = {"label": labels, "probabilities": sk.predict_proba(x).astype(np.float32)}
    examples: dict[str, tuple[Any, Any, Any]] = {
        "onnx": (onnx_model, {"X": x}, outputs),
        "torch": (net, x, net(torch.from_numpy(x)).detach().numpy()),
        "sklearn": (sk, x, labels),
    }
    for flavor, (model, inputs, expected) in examples.items():
        name = f"{flavor}-{uuid.uuid4().hex[:6]}"
        made = registry.log_model(
            run_id, model, name, flavor=flavor, input_example=inputs, output_example=expected
        )
        assert made is not None
        folder = registry.download(name, made.version, tmp_path / flavor)
        loaded = mlflow.pyfunc.load_model(str(folder))
        assert loaded.metadata.signature is not None
        got = loaded.predict(inputs)
        if flavor == "onnx":
            assert [each.name for each in loaded.metadata.signature.inputs] == ["X"]
            np.testing.assert_array_equal(got["label"], expected["label"])
        else:
            np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-5)


def test_a_version_cannot_be_registered_from_another_projects_files(
    accounts: Any, a: MLflowTracker, b: MLflowTracker
) -> None:
    from sklearn.linear_model import LogisticRegression

    ours, theirs = (MLflowRegistry(**account.settings()) for account in accounts)
    model = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    name = f"model-{uuid.uuid4().hex[:6]}"
    foreign = theirs.log_model(start(b), model, name, flavor="sklearn")
    assert foreign is not None
    ours.log_model(start(a), model, name, flavor="sklearn")
    account = accounts[0]
    files = f"mlflow-artifacts:/workspaces/{accounts[1].namespace}/{accounts[1].experiment_id}/models"
    for source in (foreign.source, f"{files}/{foreign.source.removeprefix('models:/')}/artifacts"):
        answer = httpx.post(
            f"{account.url}{API}/model-versions/create",
            json={"name": name, "source": source},
            headers={"X-MLFLOW-WORKSPACE": account.namespace},
            auth=(account.username, account.password),
        )
        assert answer.status_code in (400, 403, 404), (source, answer.status_code, answer.text)
