"""What one project's run is to another project's context, through MLflow's own API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mlops.binding.artifacts import upload
from mlops.entities import Run
from mlops.errors import ServiceUnavailable
from mlops.tracking.mlflow import MLflowTracker


@pytest.fixture
def other(mlflow_accounts: Any, line: Any, tmp_path: Path) -> MLflowTracker:
    """The tracker of another project."""
    settings = {**mlflow_accounts[1].settings(), "url": line}
    return MLflowTracker(**settings, journal=tmp_path / "other")


def test_another_projects_run_is_unknown_by_either_id(
    run: Run, delivered: Callable[[], Run], other: MLflowTracker, tmp_path: Path
) -> None:
    (tmp_path / "f.txt").write_text("forged")
    model = mlflow.initialize_logged_model("mine")
    client = MlflowClient()
    with other.activate(other.start_run(None, {}, None).id):
        for run_id in {run.id, run.key}:
            for attempt in (
                lambda run_id=run_id: client.log_metric(run_id, "forged", 1),
                lambda run_id=run_id: client.log_param(run_id, "forged", 1),
                lambda run_id=run_id: client.set_tag(run_id, "forged", 1),
                lambda run_id=run_id: client.delete_tag(run_id, "forged"),
                lambda run_id=run_id: client.log_artifact(run_id, str(tmp_path / "f.txt")),
                lambda run_id=run_id: client.set_terminated(run_id, "KILLED"),
                lambda run_id=run_id: client.get_run(run_id),
                lambda run_id=run_id: client.get_metric_history(run_id, "forged"),
                lambda run_id=run_id: client.list_artifacts(run_id),
                lambda run_id=run_id: mlflow.start_run(run_id=run_id, nested=True),
                lambda: client.finalize_logged_model(model.model_id, "FAILED"),
                lambda: client.get_logged_model(model.model_id),
            ):
                with pytest.raises(MlflowException) as caught:
                    attempt()
                assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    read = delivered()
    assert (read.metrics, read.params, "forged" in read.tags) == ({}, {}, False)


def test_a_store_that_mlflow_reaches_directly_takes_the_contents_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "kept" / "deep").mkdir(parents=True)
    (tmp_path / "kept" / "deep" / "f.txt").write_text("text")
    upload((tmp_path / "store").as_uri(), tmp_path / "kept", "below")
    assert (tmp_path / "store/below/deep/f.txt").read_text() == "text"
    with pytest.raises(ServiceUnavailable):
        upload("nowhere://bucket/path", tmp_path / "kept", "")
