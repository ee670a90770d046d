"""What an outsider finds: sockets, doors, secrets."""

from __future__ import annotations

import stat
import urllib.error
import urllib.request
from typing import Any

from mlops.client import MLOpsClient
from mlops.installation import SECRETS, Installation
from mlops.services import processes
from mlops.services.sockets import listeners
from mlops.store.store import Store

# Processes of Ray that may listen on every interface. None: the settings of `mlops.cluster` close them.
# That Ray refuses a client without the token is in tests/contracts/test_serving_contract.py.
ALLOWED_BEYOND_LOOPBACK: set[str] = set()


def status_of(url: str, headers: dict[str, str] | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_nothing_listens_beyond_loopback(stack: Installation, served_digits: Any) -> None:
    found = listeners(stack)
    assert {listener.service for listener in found} >= {"postgres", "mlflow", "ray", "gateway"}
    outside = [listener for listener in found if not listener.is_loopback]
    assert [found for found in outside if found.process not in ALLOWED_BEYOND_LOOPBACK] == []


def test_anonymous_is_refused_by_mlflow_and_gateway(stack: Installation) -> None:
    assert status_of(f"{stack.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1") == 401
    assert status_of(f"{stack.gateway_url}/api/projects") == 401
    assert status_of(f"{stack.gateway_url}/health") == 200


def test_replica_refuses_who_lacks_the_secret(stack: Installation, served_digits: Any) -> None:
    store = Store(stack.database_url())
    _, replicas = store.deployments.routes()["digits", "digits"]
    store.close()
    for replica in replicas:
        assert status_of(f"{replica.url}/healthz") == 401
        assert status_of(f"{replica.url}/healthz", {"X-MLOps-Replica-Secret": "wrong"}) == 401
        assert (
            status_of(f"{replica.url}/healthz", {"X-MLOps-Replica-Secret": stack.secret("replica_secret")})
            == 200
        )


def test_secrets_are_private_and_in_no_argument(stack: Installation, digits: MLOpsClient) -> None:
    files = list(stack.secrets_dir.iterdir())
    assert {path.name for path in files} >= {*SECRETS, "project.digits.token", "project.digits.mlflow"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    values = {path.read_text().strip() for path in files}
    assert len(values) == len(files)
    for process in processes.marked(stack.root):
        arguments = " ".join(process.cmdline())
        assert not any(value in arguments for value in values), process.name()


def test_secrets_are_in_no_log(stack: Installation, served_digits: Any) -> None:
    values = [path.read_text().strip() for path in stack.secrets_dir.iterdir()]
    for log in stack.logs_dir.glob("*.log*"):
        text = log.read_text(errors="replace")
        assert not any(value in text for value in values), log.name
