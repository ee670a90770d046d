"""An installation whose Postgres, MLflow and Ray are servers elsewhere: here, those of the shared stack."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.config import MLOpsConfig
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.services import control, postgres, processes
from mlops.services.status import read_status


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
    finally:
        control.stop(installation)
    assert processes.marked(installation.root) == []
    assert {status.state.value for status in read_status(stack)} == {"healthy"}


def test_database_elsewhere_that_does_not_answer_is_told(tmp_path: Path) -> None:
    url = "postgresql://mlops:swordfish@127.0.0.1:1/mlops"
    installation = Installation(MLOpsConfig(home=tmp_path / "home", database_url=url))
    with pytest.raises(ServiceUnavailable, match="postgres does not answer") as caught:
        control.start(installation)
    assert "swordfish" not in str(caught.value)
