"""A project's client over memory backends and a local data store: runs, contexts, deployments."""

from __future__ import annotations

import contextlib
import contextvars
import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops import MLOpsClient, MLOpsConfig, ProjectWorkspace, errors
from mlops.entities import DataTransfer, DeploymentState, RunStatus, Side
from mlops.installation import Installation
from mlops.workspace import Workspace


@pytest.fixture
def config(tmp_path: Path) -> MLOpsConfig:
    made = MLOpsConfig(
        home=tmp_path / "home", tracking_backend="memory", registry_backend="memory", data_backend="local"
    )
    Installation(made).prepare()
    return made


@pytest.fixture
def register(config: MLOpsConfig, tmp_path: Path) -> Callable[[str], Path]:
    """Records a project as registration does, without servers; returns its folder."""

    def record(name: str) -> Path:
        root = tmp_path / name
        root.mkdir()
        (root / "project.toml").write_text(f'[project]\nname = "{name}"\n')
        installation = Installation(config)
        info = ProjectWorkspace(
            project_name=name,
            namespace=name,
            mlflow_experiment_id="7",
            dvc_remote_path=str(installation.remotes_dir / name),
            airflow_dag_prefix=f"{name}__",
            serving_endpoint=f"/projects/{name}",
            root=root,
        )
        workspace = Workspace(info, installation)
        workspace.data.prepare()
        installation.make_secret(installation.project_secret_name(name, "token"))
        workspace.save()
        return root

    return record


@pytest.fixture
def client_of(config: MLOpsConfig, register: Callable[[str], Path]) -> Callable[[str], MLOpsClient]:
    def client(name: str) -> MLOpsClient:
        register(name)
        return MLOpsClient.from_project(name, config=config)

    return client


@pytest.fixture
def alpha(client_of: Callable[[str], MLOpsClient]) -> MLOpsClient:
    return client_of("alpha")


@pytest.fixture
def beta(client_of: Callable[[str], MLOpsClient]) -> MLOpsClient:
    return client_of("beta")


def in_thread(task: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(task).result(60)


# -- opening ------------------------------------------------------------------------------------


def test_from_project_by_name(alpha: MLOpsClient, tmp_path: Path) -> None:
    assert alpha.project.name == "alpha"
    assert alpha.workspace.namespace == "alpha"
    assert alpha.workspace.root == tmp_path / "alpha"
    assert alpha.token_file.read_text()


def test_from_project_by_the_folder_we_are_in(
    config: MLOpsConfig, register: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = register("alpha") / "src" / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert MLOpsClient.from_project(config=config).project.name == "alpha"


def test_from_project_by_settings_of_the_environment(
    config: MLOpsConfig, register: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    register("alpha")
    monkeypatch.setenv("MLOPS_HOME", str(config.home))
    assert MLOpsClient.from_project("alpha").project.name == "alpha"


def test_project_that_is_not_registered_is_told(
    config: MLOpsConfig, register: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.ProjectNotFound, match="'alpha' is not registered") as caught:
        MLOpsClient.from_project("alpha", config=config)
    assert "mlops:register" in caught.value.remedy
    root = register("alpha")
    (root / "project.toml").write_text('[project]\nname = "other"\n')
    monkeypatch.chdir(root)
    with pytest.raises(errors.ProjectNotFound, match="'other'"):
        MLOpsClient.from_project(config=config)


def test_folder_of_no_project_is_told(
    config: MLOpsConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ProjectNotFound, match="no project was named or found"):
        MLOpsClient.from_project(config=config)


@pytest.mark.parametrize("name", ["../alpha", "", "Alpha"])
def test_unsafe_name_is_refused(config: MLOpsConfig, name: str) -> None:
    with pytest.raises(errors.InvalidName):
        MLOpsClient.from_project(name, config=config)


def test_project_whose_folder_is_gone_is_told(config: MLOpsConfig, register: Callable[[str], Path]) -> None:
    (register("alpha") / "project.toml").unlink()
    with pytest.raises(errors.ProjectFileError, match="no such file"):
        MLOpsClient.from_project("alpha", config=config)


# -- a run's life -------------------------------------------------------------------------------


def test_run_that_ends_well_is_finished_with_what_was_logged(alpha: MLOpsClient) -> None:
    with alpha.start_run("first", tags={"kind": "trial"}) as run:
        assert alpha.get_run(run.id).status is RunStatus.RUNNING
        alpha.log_params({"C": 1.0})
        alpha.log_metrics({"loss": 0.5})
        alpha.log_metrics({"loss": 0.25}, step=1)
        alpha.set_tags({"note": "good"})
    seen = alpha.get_run(run.id)
    assert (seen.name, seen.status, seen.params) == ("first", RunStatus.FINISHED, {"C": "1.0"})
    assert seen.metrics == {"loss": 0.25}
    assert seen.tags.items() >= {"kind": "trial", "note": "good"}.items()
    assert seen.ended_at is not None


def test_run_that_raises_is_failed_with_the_errors_text(alpha: MLOpsClient) -> None:
    with pytest.raises(ZeroDivisionError), alpha.start_run() as run:
        _ = 1 / 0
    seen = alpha.get_run(run.id)
    assert seen.status is RunStatus.FAILED
    assert seen.tags["mlops.error"] == "ZeroDivisionError: division by zero"


def test_error_of_any_length_is_kept_short(alpha: MLOpsClient) -> None:
    with pytest.raises(ValueError, match="x"), alpha.start_run() as run:
        raise ValueError("x" * 100_000)
    assert len(alpha.get_run(run.id).tags["mlops.error"]) == 5000


def test_interrupted_run_is_killed(alpha: MLOpsClient) -> None:
    with pytest.raises(KeyboardInterrupt), alpha.start_run() as run:
        raise KeyboardInterrupt
    assert alpha.get_run(run.id).status is RunStatus.KILLED


def test_run_that_leaves_the_process_is_failed(alpha: MLOpsClient) -> None:
    with pytest.raises(SystemExit), alpha.start_run() as run:
        raise SystemExit(1)
    assert alpha.get_run(run.id).status is RunStatus.FAILED


def test_error_in_a_run_that_was_ended_elsewhere_is_not_hidden(alpha: MLOpsClient) -> None:
    def end_and_fail(run_id: str) -> None:
        alpha._workspace.tracking.end_run(run_id, RunStatus.KILLED)
        _ = 1 / 0

    with pytest.raises(ZeroDivisionError) as caught, alpha.start_run() as run:
        end_and_fail(run.id)
    assert any("has ended" in note for note in caught.value.__notes__)
    assert alpha.get_run(run.id).status is RunStatus.KILLED


def test_run_that_was_ended_elsewhere_is_told_at_its_end(alpha: MLOpsClient) -> None:
    with pytest.raises(errors.RunEnded), alpha.start_run() as run:
        alpha._workspace.tracking.end_run(run.id, RunStatus.KILLED)


def test_run_inside_an_except_block_tells_that_it_could_not_be_ended(alpha: MLOpsClient) -> None:
    def retry() -> None:
        with alpha.start_run() as run:
            alpha._workspace.tracking.end_run(run.id, RunStatus.KILLED)

    handled = ZeroDivisionError()
    try:
        raise handled
    except ZeroDivisionError:
        with pytest.raises(errors.RunEnded):
            retry()
    assert not hasattr(handled, "__notes__")


def test_runs_are_found_newest_first(alpha: MLOpsClient) -> None:
    ids = []
    for loss in (0.3, 0.1):
        with alpha.start_run() as run:
            alpha.log_metrics({"loss": loss})
        ids.append(run.id)
    assert [run.id for run in alpha.search_runs()] == ids[::-1]
    assert [run.id for run in alpha.search_runs("metrics.loss < 0.2")] == ids[1:]
    with pytest.raises(errors.RunNotFound):
        alpha.get_run("0" * 32)


# -- contexts -----------------------------------------------------------------------------------


VERBS: dict[str, Callable[[MLOpsClient], object]] = {
    "log_params": lambda client: client.log_params({"a": 1}),
    "log_metrics": lambda client: client.log_metrics({"a": 1.0}),
    "set_tags": lambda client: client.set_tags({"a": "1"}),
    "log_data": lambda client: client.log_data(None),
    "log_artifact": lambda client: client.log_artifact("x"),
    "log_model": lambda client: client.log_model(object(), "net", flavor="sklearn"),
    "log_apple_silicon_metrics": lambda client: client.log_apple_silicon_metrics(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_verb_outside_a_run_is_refused_by_its_name(alpha: MLOpsClient, verb: str) -> None:
    with pytest.raises(errors.NoActiveRun, match=verb) as caught:
        VERBS[verb](alpha)
    assert (caught.value.project, caught.value.verb) == ("alpha", verb)


@pytest.mark.parametrize("verb", VERBS)
def test_verb_in_a_thread_started_inside_a_run_is_refused(alpha: MLOpsClient, verb: str) -> None:
    with alpha.start_run(), pytest.raises(errors.NoActiveRun, match="thread") as caught:
        in_thread(lambda: VERBS[verb](alpha))
    assert caught.value.verb == verb


def test_thread_with_a_copied_context_writes_into_the_run(alpha: MLOpsClient) -> None:
    with alpha.start_run() as run:
        context = contextvars.copy_context()
        in_thread(lambda: context.run(alpha.log_params, {"a": 1}))
    assert alpha.get_run(run.id).params == {"a": "1"}


def test_verb_after_the_run_is_refused(alpha: MLOpsClient) -> None:
    with pytest.raises(ZeroDivisionError), alpha.start_run():
        _ = 1 / 0
    with pytest.raises(errors.NoActiveRun):
        alpha.log_params({"a": 1})


def test_nested_runs_of_one_client_write_into_the_inner_one(alpha: MLOpsClient) -> None:
    with alpha.start_run("outer") as outer:
        with alpha.start_run("inner") as inner:
            alpha.log_params({"where": "inner"})
        alpha.log_params({"where": "outer"})
    assert alpha.get_run(inner.id).params == {"where": "inner"}
    assert alpha.get_run(outer.id).params == {"where": "outer"}


def test_nested_clients_write_each_into_its_own_run(alpha: MLOpsClient, beta: MLOpsClient) -> None:
    with alpha.start_run() as a, beta.start_run() as b:
        beta.log_params({"of": "beta"})
        alpha.log_params({"of": "alpha"})
    assert alpha.get_run(a.id).params == {"of": "alpha"}
    assert beta.get_run(b.id).params == {"of": "beta"}
    with pytest.raises(errors.RunNotFound):
        alpha.get_run(b.id)


def test_interleaved_clients_end_in_any_order(alpha: MLOpsClient, beta: MLOpsClient) -> None:
    one, other = alpha.start_run(), beta.start_run()
    a, b = one.__enter__(), other.__enter__()
    alpha.log_params({"n": 1})
    one.__exit__(None, None, None)
    beta.log_params({"n": 2})
    with pytest.raises(errors.NoActiveRun):
        alpha.log_params({"n": 3})
    other.__exit__(None, None, None)
    assert alpha.get_run(a.id).params == {"n": "1"}
    assert beta.get_run(b.id).params == {"n": "2"}


def test_run_of_one_client_is_not_the_others(alpha: MLOpsClient, beta: MLOpsClient) -> None:
    with alpha.start_run(), pytest.raises(errors.NoActiveRun, match="'beta'"):
        beta.log_params({"a": 1})


def test_clients_in_threads_never_write_into_each_others_runs(alpha: MLOpsClient, beta: MLOpsClient) -> None:
    together = threading.Barrier(4)

    def work(client: MLOpsClient, number: int) -> str:
        with client.start_run() as run:
            together.wait(60)
            for step in range(20):
                client.log_params({f"step{step}": f"{client.project.name}-{number}"})
            together.wait(60)
        return run.id

    jobs = [(client, number) for client in (alpha, beta) for number in (0, 1)]
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda job: work(*job), jobs))
    for (client, number), run_id in zip(jobs, ids, strict=True):
        params = client.get_run(run_id).params
        assert len(params) == 20
        assert set(params.values()) == {f"{client.project.name}-{number}"}


# -- data and models ----------------------------------------------------------------------------


def test_data_that_was_added_is_recorded_with_the_run(alpha: MLOpsClient) -> None:
    (alpha.project.root / "raw.csv").write_text("1,2\n")
    version = alpha.dvc_add("raw.csv")
    assert alpha.dvc_push() == DataTransfer(objects=1, size_bytes=4)
    with alpha.start_run() as run:
        alpha.log_data(version)
    assert version.hash in alpha.get_run(run.id).tags.values()


def test_data_comes_back_from_the_remote(alpha: MLOpsClient) -> None:
    file = alpha.project.root / "raw.csv"
    file.write_text("1,2\n")
    alpha.dvc_add("raw.csv")
    alpha.dvc_push()
    file.unlink()
    alpha.dvc_pull("raw.csv")
    assert file.read_text() == "1,2\n"
    with pytest.raises(errors.DataNotFound):
        alpha.dvc_pull("other.csv")


def test_models_are_registered_one_version_after_another(alpha: MLOpsClient, beta: MLOpsClient) -> None:
    with alpha.start_run() as run:
        kept = [alpha.log_model(object(), "net", flavor="sklearn") for _ in range(2)]
        assert alpha.log_model(object(), "net", flavor="sklearn", register=False) is None
    assert [(v.version, v.run_id) for v in kept if v] == [(1, run.id), (2, run.id)]
    assert [v.version for v in alpha.list_models("net")] == [2, 1]
    assert beta.list_models() == []


def test_a_models_reference_is_read_back_alone(alpha: MLOpsClient, tmp_path: Path) -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.array(["a", "b", "a"])
    with alpha.start_run():
        made = alpha.log_model(object(), "net", flavor="sklearn", reference=({"x": x}, {"y": y}))
    kept = alpha.reference("net", made)
    assert [(column.side, column.name) for column in kept.columns] == [
        ("inputs", "x[0]"), ("inputs", "x[1]"), ("outputs", "y"),
    ]  # fmt: skip
    assert [column.values.tolist() for column in kept.columns] == [[0, 2, 4], [1, 3, 5], ["a", "b", "a"]]


def test_a_model_without_a_reference_says_how_to_give_one(alpha: MLOpsClient) -> None:
    with alpha.start_run():
        alpha.log_model(object(), "net", flavor="sklearn")
    with pytest.raises(errors.ReferenceNotFound, match="version 1 of model 'net'") as caught:
        alpha.reference("net", 1)
    assert "reference=(inputs, outputs)" in caught.value.remedy
    with pytest.raises(errors.ModelNotFound):
        alpha.reference("net", 2)
    with pytest.raises(errors.VersionPending):
        alpha.reference("net", None)


def test_a_wrong_reference_keeps_nothing(alpha: MLOpsClient) -> None:
    example = {"x": np.zeros((1, 2))}
    with alpha.start_run(), pytest.raises(errors.InvalidInput, match=r"'z'.*signature") as caught:
        alpha.log_model(
            object(), "net", flavor="sklearn", input_example=example, reference=({"z": example["x"]}, {})
        )
    assert caught.value.remedy == "They are: x."
    assert alpha.list_models() == []


def test_a_projects_own_function_makes_the_references_features(
    config: MLOpsConfig, register: Callable[[str], Path]
) -> None:
    root = register("gamma")
    with (root / "project.toml").open("a") as file:
        file.write("[monitoring.features]\nnet = 'gamma_own.watch:features'\nbad = 'gamma_own.watch:bad'\n")
        file.write("none = 'gamma_own.gone:features'\n")
    (root / "gamma_own").mkdir()
    (root / "gamma_own" / "watch.py").write_text(
        "def features(inputs, outputs):\n    return {'inputs': {'total': inputs['x'].sum(axis=1)}}\n"
        "def bad(inputs, outputs):\n    return {'inputs': {'total': [1]}}\n"
    )
    gamma, given = MLOpsClient.from_project("gamma", config=config), ({"x": np.ones((3, 2))}, {})
    with gamma.start_run():
        made = gamma.log_model(object(), "net", flavor="sklearn", reference=given)
        for name, why in (("bad", "has shape"), ("none", "cannot be imported")):
            with pytest.raises(errors.ConfigError, match=why) as caught:
                gamma.log_model(object(), name, flavor="sklearn", reference=given)
            assert "monitoring.features" in caught.value.remedy
    (column,) = gamma.reference("net", made).columns
    assert (column.name, column.values.tolist()) == ("total", [2, 2, 2])


def test_an_alias_moves_from_one_version_to_another(alpha: MLOpsClient) -> None:
    with alpha.start_run():
        first = alpha.log_model(object(), "net", flavor="sklearn")
        alpha.log_model(object(), "net", flavor="sklearn")
    alpha.set_alias("net", "champion", first)
    alpha.set_alias("net", "champion", "2")
    assert [(v.version, v.aliases) for v in alpha.list_models("net")] == [(2, ("champion",)), (1, ())]
    with pytest.raises(errors.ModelNotFound):
        alpha.set_alias("net", "champion", 9)
    with pytest.raises(errors.InvalidName):
        alpha.set_alias("net", "latest", 1)
    with pytest.raises(errors.InvalidInput, match="is no version"):
        alpha.set_alias("net", "champion", "new")


def test_a_version_that_is_not_there_is_not_downloaded(alpha: MLOpsClient, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelNotFound):
        alpha.download_model("net", 1, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_database_needs_a_name(alpha: MLOpsClient) -> None:
    with pytest.raises(errors.InvalidInput, match="is no name for a database"):
        alpha.database_url("My Studies")


def test_unsafe_model_name_is_refused(alpha: MLOpsClient) -> None:
    with alpha.start_run(), pytest.raises(errors.InvalidName):
        alpha.log_model(object(), "../net", flavor="sklearn")


def test_a_sample_of_this_machine_is_recorded_when_asked_for(alpha: MLOpsClient) -> None:
    with alpha.start_run() as run:
        sample = alpha.log_apple_silicon_metrics()
    kept = alpha.get_run(run.id)
    assert kept.metrics["system/system_memory_usage_megabytes"] == sample.memory_used_bytes / 1e6
    assert {"hardware.os", "hardware.sources"} <= set(kept.tags)
    assert all(kept.tags.values())
    assert "system/thermal_state" not in kept.metrics, "what cannot be read is not 0"


def test_given_figures_of_a_machine_are_recorded(alpha: MLOpsClient) -> None:
    figures = {"chip_type": "Apple M4", "gpu_power_w": 12.5, "thermal_state": "fair", "energy_j": 40}
    with alpha.start_run() as run:
        alpha.log_apple_silicon_metrics(figures)
    kept = alpha.get_run(run.id)
    assert kept.metrics == {
        "system/gpu_0_power_usage_watts": 12.5,
        "system/thermal_state": 1,
        "system/energy_joules": 40,
    }
    assert (kept.tags["hardware.chip"], kept.tags["hardware.sources"]) == ("Apple M4", "given")


def test_wrong_figures_of_a_machine_are_refused_and_nothing_is_recorded(alpha: MLOpsClient) -> None:
    with (
        alpha.start_run() as run,
        pytest.raises(errors.InvalidInput, match="gpu_utilization_percent=250") as caught,
    ):
        alpha.log_apple_silicon_metrics({"gpu_power_w": 1.0, "gpu_utilization_percent": 250})
    assert caught.value.remedy
    assert alpha.get_run(run.id).metrics == {}


def test_the_thermal_gate_of_a_machine_that_tells_nothing_lets_work_and_says_so(alpha: MLOpsClient) -> None:
    advice = alpha.thermal.check()
    assert advice.may_run
    assert advice.action == ("unknown" if sys.platform != "darwin" else advice.action)
    assert alpha.thermal is alpha.thermal, "its hysteresis is kept from epoch to epoch"


# -- deployments --------------------------------------------------------------------------------


class FakeGateway:
    """A real HTTP server that answers `GET /api/deployments` with the next state each time."""

    def __init__(self) -> None:
        self.states = ["pending"]
        self.side = "champion"
        self.asked: list[str] = []
        self.token = ""
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                gateway.asked.append(f"{self.command} {self.path}")
                gateway.token = self.headers["Authorization"]
                body = json.dumps(gateway.answer(self.command, self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_DELETE = do_POST = _answer

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def answer(self, method: str, path: str) -> object:
        if path.endswith("/predict"):
            return {"outputs": {"y": [1.0]}}
        if method == "GET":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return [] if state == "gone" else [self.row(state)]
        return self.row("pending")

    def row(self, state: str) -> dict[str, object]:
        moment = "2026-01-02T03:04:05+00:00"
        return {
            "id": 9,
            "project": "alpha",
            "model": "net",
            "version": 1,
            "state": state,
            "replicas": 1,
            "url": "",
            "created_at": moment,
            "updated_at": moment,
            "error": "Traceback: it broke" if state == "failed" else "",
            "side": self.side,
            "weight": 0,
        }

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def gateway(config: MLOpsConfig) -> Iterator[FakeGateway]:
    made = FakeGateway()
    (config.home / "ports.json").write_text(json.dumps({"gateway": made.port}))
    yield made
    made.stop()


@pytest.fixture
def served(alpha: MLOpsClient, gateway: FakeGateway) -> Iterator[MLOpsClient]:
    with alpha.start_run():
        alpha.log_model(object(), "net", flavor="sklearn")
    yield alpha
    alpha._gateway.close()


def test_deploy_returns_when_the_version_answers(served: MLOpsClient, gateway: FakeGateway) -> None:
    gateway.states = ["pending", "starting", "running"]
    deployment = served.deploy_model("net", 1)
    assert (deployment.state, deployment.version) == (DeploymentState.RUNNING, 1)
    assert gateway.asked[0] == "PUT /api/projects/alpha/deployments/net"
    assert gateway.token == f"Bearer {served.token_file.read_text()}"


@pytest.mark.parametrize("end", ["running", "failed"])
def test_deploy_tells_each_state_once_as_it_comes(
    served: MLOpsClient, gateway: FakeGateway, end: str
) -> None:
    gateway.states = ["pending", "packaging", "packaging", "starting", end]
    told: list[tuple[str, int]] = []
    with contextlib.suppress(errors.DeploymentFailed):
        served.deploy_model("net", 1, on_state=lambda state: told.append((state, len(gateway.asked))))
    # Each with the number of the question that brought it: 1 is the wish itself.
    assert told == [("pending", 2), ("packaging", 3), ("starting", 5), (end, 6)]


def test_deploy_that_fails_raises_the_traceback(served: MLOpsClient, gateway: FakeGateway) -> None:
    gateway.states = ["packaging", "failed"]
    with pytest.raises(errors.DeploymentFailed, match="it broke"):
        served.deploy_model("net", 1)


def test_deploy_that_was_undone_meanwhile_is_told(served: MLOpsClient, gateway: FakeGateway) -> None:
    gateway.states = ["pending", "gone"]
    with pytest.raises(errors.DeploymentNotFound):
        served.deploy_model("net", 1)


def test_deploy_that_nobody_takes_up_is_told(
    served: MLOpsClient, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.client._DEPLOY_TIMEOUT_S", 0.3)
    with pytest.raises(errors.ServiceUnavailable, match="still pending") as caught:
        served.deploy_model("net", 1)
    assert caught.value.service == "worker"


@pytest.mark.parametrize(("name", "version"), [("net", 2), ("net", 0), ("other", 1)])
def test_deploy_of_what_is_not_registered_asks_nobody(
    served: MLOpsClient, gateway: FakeGateway, name: str, version: int
) -> None:
    with pytest.raises(errors.ModelNotFound):
        served.deploy_model(name, version)
    assert gateway.asked == []


def test_predict_undeploy_and_deployments_go_to_the_projects_own_paths(
    served: MLOpsClient, gateway: FakeGateway
) -> None:
    gateway.states = ["running"]
    assert served.predict("net", {"x": [1]}) == {"y": [1.0]}
    assert [row.model for row in served.deployments()] == ["net"]
    served.undeploy_model("net")
    assert gateway.asked == [
        "POST /projects/alpha/models/net/predict",
        "GET /api/deployments",
        "DELETE /api/projects/alpha/deployments/net",
    ]
    assert served.dashboard_url == f"http://127.0.0.1:{gateway.port}/"


def test_a_file_goes_as_its_bytes_and_one_that_is_none_is_named(
    served: MLOpsClient, gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "hole.xls"
    file.write_bytes(b"a log")
    for given in (file, str(file), b"a log"):
        assert served.predict_file("net", given) == {"y": [1.0]}
    assert gateway.asked == ["POST /projects/alpha/models/net/predict"] * 3
    for missing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(errors.InvalidInput, match="cannot be read"):
            served.predict_file("net", missing)


def test_what_serves_as_champion_gets_the_alias(served: MLOpsClient, gateway: FakeGateway) -> None:
    def aliases() -> tuple[str, ...]:
        return served.list_models("net")[0].aliases

    gateway.states, gateway.side = ["running"], "canary"
    assert served.deploy_model("net", 1, canary=10).side is Side.CANARY
    assert aliases() == ()
    gateway.side = "champion"
    served.promote_model("net", why="it is better")
    assert aliases() == ("champion",)
    served.rollback_model("net")
    served.weigh_canary("net", 50)
    served.end_side("net", Side.CANARY)
    assert gateway.asked[-4:] == [
        "POST /api/projects/alpha/deployments/net/promote",
        "POST /api/projects/alpha/deployments/net/rollback",
        "POST /api/projects/alpha/deployments/net/weight",
        "DELETE /api/projects/alpha/deployments/net/canary",
    ]


def test_a_canary_is_no_shadow(served: MLOpsClient, gateway: FakeGateway) -> None:
    with pytest.raises(errors.InvalidInput, match="cannot be a canary, too"):
        served.deploy_model("net", 1, canary=5, shadow=True)
    assert gateway.asked == []


def test_unsafe_model_names_reach_no_gateway(served: MLOpsClient, gateway: FakeGateway) -> None:
    for call in (
        lambda: served.predict("../net", {}),
        lambda: served.predict_file("../net", b""),
        lambda: served.inferences("../net"),
        lambda: served.undeploy_model("a/b"),
        lambda: served.deploy_model("", 1),
        lambda: served.promote_model("../net"),
        lambda: served.rollback_model("a/b"),
        lambda: served.weigh_canary("a/b", 5),
        lambda: served.end_side("a/b", Side.CANARY),
    ):
        with pytest.raises(errors.InvalidName):
            call()
    assert gateway.asked == []
