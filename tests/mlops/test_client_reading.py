"""The client's reading verbs: each reaches its own project's runs alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops import errors
from mlops.client import MLOpsClient
from mlops.config import MLOpsConfig
from mlops.entities import ProjectWorkspace, RunStatus
from mlops.installation import Installation
from mlops.project import read_project
from mlops.workspace import Workspace


@pytest.fixture
def client_of(tmp_path: Path) -> Callable[[str], MLOpsClient]:
    """Clients of projects whose runs are in memory."""
    installation = Installation(MLOpsConfig(home=tmp_path / "home", tracking_backend="memory"))

    def client(name: str) -> MLOpsClient:
        root = tmp_path / name
        root.mkdir()
        (root / "project.toml").write_text(f'[project]\nname = "{name}"\n')
        info = ProjectWorkspace.of(name, name, "7", str(tmp_path / "remote"), root)
        return MLOpsClient(read_project(root), Workspace(info, installation))

    return client


@pytest.fixture
def alpha(client_of: Callable[[str], MLOpsClient]) -> MLOpsClient:
    return client_of("alpha")


@pytest.fixture
def beta(client_of: Callable[[str], MLOpsClient]) -> MLOpsClient:
    return client_of("beta")


def trained(client: MLOpsClient, *losses: float) -> str:
    with client.start_run() as run:
        for step, loss in enumerate(losses):
            client.log_metrics({"loss": loss}, step=step)
        client.log_params({"epochs": len(losses)})
    return run.key


def test_runs_are_searched_by_page(alpha: MLOpsClient) -> None:
    keys = [trained(alpha, float(i)) for i in range(3)]
    first = alpha.search_runs(order_by="metrics.loss ASC", max_results=2)
    rest = alpha.search_runs(order_by="metrics.loss ASC", max_results=2, page_token=first.next_token)
    assert [run.key for run in [*first, *rest]] == keys
    assert rest.next_token is None
    assert first.frame()["metrics.loss"].tolist() == [0.0, 1.0]


def test_runs_are_compared(alpha: MLOpsClient) -> None:
    keys = [trained(alpha, 3.0, 1.0), trained(alpha, 2.0)]
    both = alpha.compare_runs(keys)
    assert both.differing == {"epochs": {keys[0]: "2", keys[1]: "1"}}
    assert both.best == {"loss": keys[0]}
    assert alpha.compare_runs(keys, higher_is_better={"loss": True}).best == {"loss": keys[1]}


def test_the_best_run_is_found(alpha: MLOpsClient) -> None:
    with pytest.raises(errors.MetricNotFound):
        alpha.best_run("loss")
    keys = [trained(alpha, 0.1, 3.0), trained(alpha, 2.0)]
    assert alpha.best_run("loss").key == keys[1]
    assert alpha.best_run("loss", mode="max").key == keys[0]
    assert alpha.best_run("loss", mode="max", filter="params.epochs = '1'").key == keys[1]


def test_a_history_is_read(alpha: MLOpsClient) -> None:
    key = trained(alpha, *(float(i % 7) for i in range(500)))
    history = alpha.metric_history(key, "loss", 20)
    assert (history[0].step, history[-1].step, history.total) == (0, 499, 500)
    assert len(alpha.metric_history(key, "loss").frame()) == 500


def test_a_run_is_deleted_and_restored(alpha: MLOpsClient) -> None:
    key = trained(alpha, 1.0)
    alpha.delete_run(key)
    assert alpha.search_runs() == []
    with pytest.raises(errors.RunNotFound):
        alpha.get_run(key)
    assert alpha.restore_run(key).status is RunStatus.FINISHED
    assert alpha.get_run(key).metrics == {"loss": 1.0}
    with alpha.start_run() as run, pytest.raises(errors.RunOpen):
        alpha.delete_run(run.id)


VERBS: dict[str, Callable[[MLOpsClient, str], object]] = {
    "get_run": lambda client, run_id: client.get_run(run_id),
    "compare_runs": lambda client, run_id: client.compare_runs([run_id, trained(client, 1.0)]),
    "metric_history": lambda client, run_id: client.metric_history(run_id, "loss"),
    "delete_run": lambda client, run_id: client.delete_run(run_id),
    "restore_run": lambda client, run_id: client.restore_run(run_id),
}


@pytest.mark.parametrize("verb", VERBS)
def test_another_projects_run_is_unknown(alpha: MLOpsClient, beta: MLOpsClient, verb: str) -> None:
    key = trained(beta, 1.0)
    before = beta.get_run(key)
    with pytest.raises(errors.RunNotFound) as caught:
        VERBS[verb](alpha, key)
    assert caught.value.project == "alpha"
    assert beta.get_run(key) == before
    assert key not in {run.key for run in alpha.search_runs()}
    trained(alpha, 5.0)
    assert alpha.best_run("loss", filter="metrics.loss > 1").metrics == {"loss": 5.0}
