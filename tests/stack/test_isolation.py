"""Two projects' clients in one process, and with each other's ids in hand."""

from __future__ import annotations

import base64
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest

from mlops.client import MLOpsClient
from mlops.errors import Forbidden, MLOpsError, NoActiveRun, NotFound
from mlops.installation import Installation
from mlops.remote import Gateway


def test_interleaved_runs_land_in_their_own_project(drilling: MLOpsClient, digits: MLOpsClient) -> None:
    with drilling.start_run("outer") as outer, digits.start_run("inner") as inner:
        drilling.log_metrics({"depth": 1.0})
        digits.log_metrics({"accuracy": 0.5})
    assert drilling.get_run(outer.id).metrics == {"depth": 1.0}
    assert digits.get_run(inner.id).metrics == {"accuracy": 0.5}


def test_threads_of_two_projects_never_mix(drilling: MLOpsClient, digits: MLOpsClient) -> None:
    together = threading.Barrier(4)

    def work(client: MLOpsClient, number: int) -> tuple[str, str]:
        with client.start_run(f"{client.project.name} {number}") as run:
            together.wait(30)
            for step in range(5):
                client.log_metrics({"own": float(number)}, step=step)
                mlflow.log_metric("fluent", number, step=step)
            return client.project.name, run.id

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(work, client, n) for n, client in enumerate([drilling, digits] * 2)]
        made = [job.result() for job in jobs]
    clients = {"drilling": drilling, "digits": digits}
    for number, (project, run_id) in enumerate(made):
        assert clients[project].get_run(run_id).metrics == {"own": number, "fluent": number}
        other = clients["digits" if project == "drilling" else "drilling"]
        with pytest.raises(NotFound):
            other.get_run(run_id)


def test_thread_outside_any_run_fails_by_name(drilling: MLOpsClient) -> None:
    caught: list[Exception] = []

    def work() -> None:
        for call in (
            lambda: drilling.log_metrics({"depth": 1.0}),
            lambda: mlflow.search_experiments(),
        ):
            try:
                call()
            except Exception as error:
                caught.append(error)

    with drilling.start_run("holds a run"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert isinstance(caught[0], NoActiveRun)
    assert "NoActiveRun" in str(caught[1])


def test_gateway_token_of_one_project_does_not_open_another(
    stack: Installation, drilling: MLOpsClient, digits: MLOpsClient
) -> None:
    gateway = Gateway(stack.gateway_url, drilling.token_file.read_text())
    with pytest.raises(Forbidden):
        gateway.predict("digits", "digits", {"X": [[0.0] * 64]})
    with pytest.raises(MLOpsError):
        gateway.deploy("digits", "digits", 1, 1)
    with pytest.raises(MLOpsError):
        gateway.undeploy("digits", "digits")
    assert all(row.project == "drilling" for row in gateway.deployments())
    assert {row["project_name"] for row in gateway.request("GET", "/api/projects")} == {"drilling"}


def test_mlflow_account_of_one_project_sees_nothing_of_another(
    stack: Installation, drilling: MLOpsClient, digits: MLOpsClient
) -> None:
    with digits.start_run("secret") as run:
        pass
    password = stack.secret(stack.project_secret_name("drilling", "mlflow"))
    account = base64.b64encode(f"drilling:{password}".encode()).decode()
    for workspace in ("digits", "drilling", "default"):
        request = urllib.request.Request(
            f"{stack.mlflow_url}/api/2.0/mlflow/runs/get?run_id={run.id}",
            headers={"Authorization": f"Basic {account}", "X-MLFLOW-WORKSPACE": workspace},
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        assert caught.value.code in (403, 404)
        caught.value.close()
