"""An installation whose Postgres, MLflow and Ray are servers elsewhere: here, those of the shared stack. Its
worker reads runs and models from MLflow's API."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlops.client import MLOpsClient
from mlops.config import MLOpsConfig
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.registration import register
from mlops.services import control, postgres, processes
from mlops.services.status import read_status
from mlops.store.store import Store
from mlops.tracking.admin import MLflowAdmin


@pytest.fixture
def postgres_elsewhere(tmp_path: Path) -> Iterator[str]:
    """A Postgres that no supervisor of ours keeps, without any database of ours."""
    owner = Installation(MLOpsConfig(home=tmp_path / "elsewhere"))
    owner.prepare()
    postgres.initialise(owner)
    service = postgres.service(owner, owner.choose_ports(["postgres"])["postgres"])
    process = subprocess.Popen(service.command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while service.probe(frozenset([process.pid])) is not None:
            assert process.poll() is None
        yield owner.database_url("mlops")
    finally:
        process.send_signal(service.stop_signal)
        process.wait(20)


def test_servers_elsewhere_are_probed_not_started(
    stack: Installation, postgres_elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, password = stack.mlflow_admin()
    for name, value in {
        "DATABASE_URL": postgres_elsewhere,
        "MLFLOW_URI": stack.mlflow_url,
        "MLFLOW_USERNAME": user,
        "MLFLOW_PASSWORD": password,
        "RAY_ADDRESS": stack.ray_address,
        "RAY_TOKEN": stack.ray_token(),
    }.items():
        monkeypatch.setenv(f"MLOPS_{name}", value)
    installation = Installation(MLOpsConfig(home=tmp_path / "home"))
    try:
        control.start(installation)
        states = {status.name: status.state.value for status in read_status(installation)}
        assert states == {
            "postgres": "external",
            "mlflow": "external",
            "ray": "external",
            "worker": "healthy",
            "gateway": "healthy",
        }
        assert set(processes.services_of(installation.root).values()) == {"worker", "gateway"}
        assert not any(password in status.address for status in read_status(installation))
        is_indexed(installation, tmp_path / "afar")
    finally:
        control.stop(installation)
    assert processes.marked(installation.root) == []
    assert {status.state.value for status in read_status(stack)} == {"healthy"}


def is_indexed(installation: Installation, root: Path) -> None:
    """A run and a model version of a project of its own are listed, and have their pages."""
    root.mkdir()
    (root / "project.toml").write_text('[project]\nname = "afar"\nnamespace = "afar"\n')
    store = Store(installation.database_url())
    user, password = installation.mlflow_admin()
    try:
        register(root, installation, store)
        client = MLOpsClient.from_project("afar", config=installation.config)
        with client.start_run("first") as run:
            for step, loss in enumerate((0.5, 0.1, 0.3)):
                client.log_metrics({"loss": loss}, step=step)
        account = ("afar", installation.secret(installation.project_secret_name("afar", "mlflow")))
        for path, body in (
            ("registered-models", {"name": "depth"}),
            ("model-versions", {"name": "depth", "source": "s3://models/x", "run_id": run.mlflow_id}),
        ):
            url = f"{installation.mlflow_url}/api/2.0/mlflow/{path}/create"
            httpx.post(
                url, json=body, auth=account, headers={"X-MLFLOW-WORKSPACE": "afar"}, trust_env=False
            ).raise_for_status()
        token = f"Bearer {installation.secret('project.afar.token')}"
        gateway = httpx.Client(
            base_url=installation.gateway_url, headers={"Authorization": token}, trust_env=False, timeout=30
        )
        with gateway:
            shows_it(gateway)
    finally:
        MLflowAdmin(url=installation.mlflow_url, username=user, password=password).remove("afar")
        store.close()


def shows_it(gateway: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while not (models := gateway.get("/api/models").json()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert (models[0]["model"], models[0]["newest"]) == ("depth", 1)
    # Extremes are counted a little after the run is known.
    while (found := gateway.get("/api/runs").json())["runs"][0]["metrics"]["loss"]["points"] != 3:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    (run,), (polled,) = found["runs"], found["polled"]
    assert (run["name"], run["status"], polled["problem"]) == ("first", "FINISHED", "")
    assert run["metrics"]["loss"] == run["metrics"]["loss"] | {"last": 0.3, "min": 0.1, "max": 0.5}
    for name in (run["id"], run["key"]):
        told = gateway.get(f"/api/runs/afar/{name}").json()["lineage"]
        assert told["versions"] == [{"name": "depth", "version": 1, "aliases": []}]
        series = gateway.get(f"/api/runs/afar/{name}/series", params={"metric": "loss"}).json()["series"]
        assert series["loss"]["values"] == [0.5, 0.1, 0.3]
    page = f"/runs/afar/{run['id']}"
    shown = {"/runs": "Read from MLflow", "/models/afar/depth/1": "elsewhere", page: "first"}
    shown |= {f"{page}?tab={tab}": "first" for tab in ("figures", "artifacts", "params", "log")}
    for path, words in shown.items():
        answer = gateway.get(path)
        assert answer.status_code == 200, path
        assert words in answer.text
        assert 'class="region stale"' not in answer.text, path


def test_database_elsewhere_that_does_not_answer_is_told(tmp_path: Path) -> None:
    url = "postgresql://mlops:swordfish@127.0.0.1:1/mlops"
    installation = Installation(MLOpsConfig(home=tmp_path / "home", database_url=url))
    with pytest.raises(ServiceUnavailable, match="postgres does not answer") as caught:
        control.start(installation)
    assert "swordfish" not in str(caught.value)
