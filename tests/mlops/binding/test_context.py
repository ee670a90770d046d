"""The plug-ins that tell MLflow whose call it is, without a server."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import importlib.metadata
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
import requests

from mlops.binding.context import (
    Binding,
    BoundAuth,
    ProjectExperiment,
    WorkspaceHeaders,
    bind,
    bind_process,
    current_binding,
)
from mlops.binding.session import use_server
from mlops.errors import ConfigError, NoActiveRun

A = Binding("http://127.0.0.1:20999", "a", "user-a", "password-a", "11")
B = Binding("http://127.0.0.1:20999", "b", "user-b", "password-b", "22")


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch) -> BoundAuth:
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", f"mlops {A.url}")
    return BoundAuth()


def prepared(auth: BoundAuth, url: str, **headers: str) -> Any:
    return requests.Request("GET", url, headers=headers, auth=auth.get_auth()).prepare()


def test_bindings_nest_and_end_with_their_block() -> None:
    assert current_binding() is None
    with bind(A):
        with bind(B):
            assert WorkspaceHeaders().request_headers() == {"X-MLFLOW-WORKSPACE": "b"}
        assert WorkspaceHeaders().request_headers() == {"X-MLFLOW-WORKSPACE": "a"}
        assert ProjectExperiment().get_experiment_id() == "11"
    assert not WorkspaceHeaders().in_context()
    assert not ProjectExperiment().in_context()


def test_a_new_thread_is_unbound_and_a_copied_context_is_bound() -> None:
    seen: list[Binding | None] = []
    with bind(A):
        context = contextvars.copy_context()
        for target in (current_binding, lambda: context.run(current_binding)):
            thread = threading.Thread(target=lambda work=target: seen.append(work()))
            thread.start()
            thread.join()
    assert seen == [None, A]


def test_the_process_is_bound_while_its_open_runs_are_of_one_workspace() -> None:
    with bind_process(A):
        with bind_process(A):
            assert current_binding() == A
            with bind_process(B):
                assert current_binding() is None
                assert not WorkspaceHeaders().in_context()
                with bind(B):
                    assert current_binding() == B
        assert current_binding() == A
    assert current_binding() is None


def test_concurrent_tasks_keep_their_own_binding() -> None:
    async def work(binding: Binding) -> list[Binding | None]:
        seen = []
        with bind(binding):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(current_binding())
        return seen

    async def both() -> list[list[Binding | None]]:
        return await asyncio.gather(work(A), work(B))

    assert asyncio.run(both()) == [[A] * 3, [B] * 3]


def test_a_bound_request_carries_the_bound_account(auth: BoundAuth) -> None:
    with bind(A):
        sent = prepared(auth, f"{A.url}/api/2.0/mlflow/runs/get", Authorization="Bearer of-the-process")
    scheme, pair = sent.headers["Authorization"].split()
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"user-a:password-a")


def test_an_unbound_request_to_our_server_is_refused_by_name(auth: BoundAuth) -> None:
    with pytest.raises(NoActiveRun, match="NoActiveRun") as caught:
        prepared(auth, f"{A.url}/api/2.0/mlflow/runs/create")
    assert "copy_context" in caught.value.remedy


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:20998/api",
        "https://127.0.0.1:20999/api",
        "http://127.0.0.1:20999@example.invalid/api",
        "http://127.0.0.1.example.invalid:20999/api",
    ],
)
def test_a_request_to_another_server_loses_the_workspace_and_gains_nothing(auth: BoundAuth, url: str) -> None:
    with bind(A):
        sent = prepared(auth, url, **{"X-MLFLOW-WORKSPACE": "a", "Other": "kept"})
    assert "X-MLFLOW-WORKSPACE" not in sent.headers
    assert "Authorization" not in sent.headers
    assert sent.headers["Other"] == "kept"
    assert prepared(auth, url).headers.get("X-MLFLOW-WORKSPACE") is None


def test_a_server_below_a_path_covers_that_path_alone() -> None:
    binding = Binding("https://host.example/mlflow", "a", "u", "p")
    assert binding.covers("https://host.example:443/mlflow/api")
    assert not binding.covers("https://host.example/mlflow-other/api")
    assert not binding.covers("https://host.example/")


def test_the_password_is_not_printed() -> None:
    assert "password-a" not in repr(A)


def test_servers_gather_in_mlflows_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "mlops http://one:1")
    use_server("http://two:2")
    use_server("http://two:2")
    assert BoundAuth().get_name() == "mlops http://one:1 http://two:2"


@pytest.mark.parametrize(
    ("url", "lower", "upper", "expected"),
    [
        ("http://127.0.0.1:1", "", "", "localhost,127.0.0.1,::1"),
        ("http://[::1]:1", "", "a.example, ::1", "a.example,::1,localhost,127.0.0.1"),
        (
            "http://127.0.0.2:1",
            "b.example",
            "a.example",
            "b.example,a.example,localhost,127.0.0.1,::1,127.0.0.2",
        ),
        ("http://localhost:1", "*", "", "*"),
        ("https://one.example", "b.example", "b.example", "b.example"),
    ],
)
def test_a_server_on_this_machine_is_added_to_what_passes_by_a_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, lower: str, upper: str, expected: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "mlops")
    monkeypatch.setenv("no_proxy", lower)
    monkeypatch.setenv("NO_PROXY", upper)
    use_server(url)
    use_server(url)
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (expected, expected)


def test_someone_elses_auth_setting_is_named_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "kubernetes")
    with pytest.raises(ConfigError, match="kubernetes"):
        use_server("http://one:1")
    assert BoundAuth().get_name() == "mlops"


def test_the_users_own_retry_setting_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES

    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "mlops")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    use_server("http://one:1")
    assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 5


def test_the_plug_ins_are_entry_points_of_the_distribution() -> None:
    declared = {
        "mlflow.request_header_provider": "mlops.binding.context:WorkspaceHeaders",
        "mlflow.request_auth_provider": "mlops.binding.context:BoundAuth",
        "mlflow.default_experiment_provider": "mlops.binding.context:ProjectExperiment",
        "mlflow.artifact_repository": "mlops.tracking.plugin.artifacts:JournaledArtifacts",
        "mlflow.tracking_store": "mlops.tracking.plugin.store:JournalStore",
        "mlflow.model_registry_store": "mlops.tracking.plugin.registry:JournalRegistry",
    }
    for group, value in declared.items():
        assert value in {point.value for point in importlib.metadata.entry_points(group=group)}, group


@pytest.mark.parametrize(
    "module",
    [
        "mlflow",
        "mlops.binding.artifacts",
        *(
            f"mlops.tracking.plugin.{name}"
            for name in ("artifacts", "entities", "files", "models", "records", "registry", "runs", "store")
        ),
    ],
)
def test_mlflow_finds_the_plug_ins_whichever_module_is_imported_first(module: str) -> None:
    code = (
        f"import {module}\n"
        "from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry\n"
        "from mlflow.tracking._tracking_service.utils import _tracking_store_registry as stores\n"
        "from mlflow.tracking._model_registry.utils import _get_store_registry\n"
        "made = [stores.get_store_builder('http://host'), _get_store_registry().get_store_builder('http://host')]\n"
        "files = _artifact_repository_registry._registry\n"
        "made += [files['mlflow-artifacts'], files['mlops-journal']]\n"
        "print(*(each.__name__ for each in made))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:mlflow", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["JournalStore", "JournalRegistry", "JournaledArtifacts", "LocalArtifacts"]


@pytest.mark.parametrize(
    "module",
    ["mlops.tracking.mlflow", "mlops.tracking.admin", "mlops.registry.mlflow", "mlops.data.dvc"],
)
def test_importing_an_adapter_imports_no_heavy_tool(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'mlflow', 'dvc', 'torch', 'onnx', 'sklearn', 'pandas', 'numpy'} & set(sys.modules)\n"
        "raise SystemExit(str(sorted(heavy)) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_child_process_that_inherits_the_settings_fails_by_name() -> None:
    code = (
        "import mlflow\n"
        "from mlops.binding.session import use_server\n"
        "import os, subprocess, sys\n"
        "use_server('http://127.0.0.1:20999')\n"
        "mlflow.set_tracking_uri('http://127.0.0.1:20999')\n"
        "child = 'import mlflow; mlflow.log_metric(\"x\", 1)'\n"
        "done = subprocess.run([sys.executable, '-c', child], capture_output=True, text=True)\n"
        "raise SystemExit(0 if done.returncode and 'NoActiveRun' in done.stderr else done.stderr or 'passed')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
