"""What an outsider finds: sockets, doors, secrets."""

from __future__ import annotations

import contextlib
import stat
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

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
    replicas = store.deployments.routes()["digits", "digits"].champion.replicas
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
    looked_at = []
    for process in processes.marked(stack.root):
        with contextlib.suppress(psutil.NoSuchProcess):  # one that ended meanwhile
            arguments = process.cmdline()
            looked_at.append(arguments)
            assert not any(value in " ".join(arguments) for value in values), arguments[:1]
    assert [sys.executable, "-m", "mlops.gateway"] in [arguments[:3] for arguments in looked_at]


def test_secrets_are_in_no_log(stack: Installation, served_digits: Any) -> None:
    values = [path.read_text().strip().encode() for path in stack.secrets_dir.iterdir()]
    found = [*stack.logs_dir.glob("*.log*"), *written(stack.short_dir()), *written(stack.run_dir)]
    assert {"gateway.log", "gcs_server.out", "supervisor.lock"} <= {path.name for path in found}
    assert [str(path) for path in found if holds_any(path, values)] == []


def written(folder: Path) -> list[Path]:
    """The regular files below a folder; sockets and links are left out."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def holds_any(path: Path, values: list[bytes]) -> bool:
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # turned, or of a worker that has ended
        return False
    return any(value in content for value in values)


def test_search_for_secrets_finds_one_in_a_deep_binary_file(tmp_path: Path) -> None:
    (tmp_path / "session" / "logs").mkdir(parents=True)
    (tmp_path / "session" / "logs" / "gcs_server.out").write_bytes(b"\xff\x00 the-secret \xfe")
    assert [holds_any(path, [b"the-secret"]) for path in written(tmp_path)] == [True]
    assert [holds_any(path, [b"another"]) for path in written(tmp_path)] == [False]
