"""Logged and registered models inside a run: with a server, without one, and after it came back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

from mlops.entities import Run
from mlops.registry.mlflow import MLflowRegistry
from mlops.tracking.mlflow import MLflowTracker

X = np.random.default_rng(0).random((20, 2))
PINS = ["scikit-learn", "skops"]


@pytest.fixture
def model() -> LogisticRegression:
    return LogisticRegression(C=0.5).fit(X, np.arange(20) % 2)


def log(model: LogisticRegression, name: str = "model", **more: Any) -> Any:
    return mlflow.sklearn.log_model(
        model, name=name, serialization_format="skops", pip_requirements=PINS, **more
    )


def test_a_logged_model_loads_by_its_id(
    run: Run, delivered: Callable[[], Run], tracker: MLflowTracker, model: LogisticRegression
) -> None:
    mlflow.log_param("C", 0.5)
    mlflow.log_metric("score", 0.75, step=0)
    info = log(model)
    mlflow.set_logged_model_tags(info.model_id, {"kind": "test"})
    local = mlflow.pyfunc.load_model(info.model_uri)
    np.testing.assert_array_equal(local.predict(X), model.predict(X))
    done = delivered()
    with tracker.activate(tracker.start_run("reads", {}, None).id):
        loaded = mlflow.pyfunc.load_model(f"models:/{info.model_id}")
        kept = mlflow.get_logged_model(info.model_id)
        (output,) = mlflow.get_run(done.id).outputs.model_outputs
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert output.model_id == kept.model_id == loaded.metadata.model_id
    assert (kept.status, kept.source_run_id, kept.tags["kind"]) == ("READY", done.mlflow_id, "test")
    assert kept.params["C"] == "0.5"
    assert {each.key: each.value for each in kept.metrics or []} == {"score": 0.75}
    assert loaded.metadata.run_id == done.mlflow_id


def test_a_model_is_registered_with_the_call_that_logs_it(
    run: Run, delivered: Callable[[], Run], tracker: MLflowTracker, mlflow_accounts: Any,
    model: LogisticRegression, tmp_path: Path,
) -> None:  # fmt: skip
    name = f"fluent-{uuid.uuid4().hex[:6]}"
    info = log(model, registered_model_name=name)
    assert info.registered_model_version in (1, "1", "pending")
    again = mlflow.register_model(f"models:/{info.model_id}", name)
    assert again.version in (2, "2", "pending")
    delivered()
    registry = MLflowRegistry(**mlflow_accounts[0].settings())
    assert [each.version for each in registry.list_versions(name)] == [2, 1]
    folder = registry.download(name, 1, tmp_path / "got")
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(str(folder)).predict(X), model.predict(X))


def test_our_own_registry_registers_through_the_journal(
    run: Run, delivered: Callable[[], Run], mlflow_accounts: Any, line: Any, model: LogisticRegression,
    tmp_path: Path,
) -> None:  # fmt: skip
    name = f"own-{uuid.uuid4().hex[:6]}"
    registry = MLflowRegistry(**{**mlflow_accounts[0].settings(), "url": line()})
    (tmp_path / "given" / "notes").mkdir(parents=True)
    (tmp_path / "given" / "notes" / "note.bin").write_bytes(b"kept")
    made = registry.log_model(
        run.id, model, name, flavor="sklearn", input_example=X, files=tmp_path / "given"
    )
    assert made is not None
    assert made.version == (None if line.cut else 1)
    done = delivered()
    registry = MLflowRegistry(**mlflow_accounts[0].settings())
    (found,) = registry.list_versions(name)
    assert (found.version, found.run_id, found.flavor) == (1, done.mlflow_id, "sklearn")
    folder = registry.download(name, 1, tmp_path / "got")
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(str(folder)).predict(X), model.predict(X))
    assert (folder / "notes" / "note.bin").read_bytes() == b"kept"
    assert registry.download(name, 1, tmp_path / "one", "notes/note.bin").read_bytes() == b"kept"


def test_a_version_the_server_refuses_is_named_at_the_call(
    run: Run, line: Any, tracker: MLflowTracker, eventually: Any
) -> None:
    line.cut = False
    eventually(lambda: tracker.get_run(run.id).mlflow_id is not None)
    with pytest.raises(mlflow.MlflowException, match="a:b") as caught:
        MlflowClient().create_model_version("a:b", f"runs:/{run.id}/model", run.id)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
