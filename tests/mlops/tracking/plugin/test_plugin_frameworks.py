"""Frameworks that log to MLflow, inside a run: with a server, and without one."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

from mlops.entities import Run, RunStatus
from mlops.tracking.mlflow import MLflowTracker


@pytest.mark.filterwarnings("ignore")
def test_autologging_of_scikit_learn_with_its_model(run: Run, delivered: Callable[[], Run]) -> None:
    mlflow.sklearn.autolog(silent=True, serialization_format="skops")
    try:
        LogisticRegression(C=0.5).fit(np.random.default_rng(0).random((20, 2)), np.arange(20) % 2)
    finally:
        mlflow.sklearn.autolog(disable=True, silent=True)
    read = delivered()
    assert read.params["C"] == "0.5"
    assert "training_score" in read.metrics


@pytest.mark.filterwarnings("ignore")
def test_the_callback_of_transformers(run: Run, delivered: Callable[[], Run], tmp_path: Path) -> None:
    from transformers import TrainerControl, TrainerState, TrainingArguments
    from transformers.integrations import MLflowCallback

    class Model(torch.nn.Module):
        config = None

    class Arguments(TrainingArguments):
        def __init__(self) -> None:  # its own needs a further package
            self.run_name, self.output_dir, self.learning_rate = "hf", str(tmp_path), 0.5

        def to_dict(self) -> dict[str, Any]:
            return {"learning_rate": self.learning_rate, "output_dir": self.output_dir}

    callback, arguments, control = MLflowCallback(), Arguments(), TrainerControl()
    state = TrainerState(is_world_process_zero=True)
    callback.setup(arguments, state, Model())
    for step in range(3):
        state.global_step = step
        callback.on_log(arguments, state, control, {"loss": 1.0 / (step + 1)}, model=Model())
    callback.on_train_end(arguments, state, control)
    assert mlflow.active_run() is not None  # it ends only what it began
    read = delivered()
    assert read.params["learning_rate"] == "0.5"
    assert read.metrics["loss"] == pytest.approx(1 / 3)


def test_a_logger_that_drives_the_client_as_lightnings_does(
    run: Run, delivered: Callable[[], Run], tracker: MLflowTracker, eventually: Any, tmp_path: Path
) -> None:
    (tmp_path / "model.ckpt").write_text("weights")
    client = MlflowClient()
    found = client.get_experiment_by_name("lightning_logs")
    experiment_id = found.experiment_id if found else client.create_experiment("lightning_logs")
    begun = client.create_run(experiment_id, tags={"mlflow.runName": "fit"}).info.run_id
    client.log_batch(run_id=begun, params=[Param("lr", "0.1")])
    now = int(time.time() * 1000)
    for step in range(3):
        client.log_batch(run_id=begun, metrics=[Metric("loss", 1.0 / (step + 1), now, step)])
    client.log_artifact(begun, str(tmp_path / "model.ckpt"), "model/checkpoints")
    client.set_terminated(begun, "FINISHED")
    delivered()
    eventually(lambda: tracker.get_run(begun).url)
    read = tracker.get_run(begun)
    assert (read.name, read.status, read.params) == ("fit", RunStatus.FINISHED, {"lr": "0.1"})
    assert read.metrics["loss"] == pytest.approx(1 / 3)


def test_system_metrics_are_sampled_by_a_thread_of_mlflow(
    run: Run, delivered: Callable[[], Run], eventually: Any
) -> None:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run.id, sampling_interval=0.1, samples_before_logging=1)

    def sampled(metrics: dict[str, float]) -> bool:
        return any(key.startswith("system/") for key in metrics)

    monitor.start()
    eventually(lambda: sampled(mlflow.get_run(run.id).data.metrics))
    monitor.finish()
    assert sampled(delivered().metrics)


def test_mlflow_imported_inside_a_run_writes_into_it(
    mlflow_accounts: Any, tracker: MLflowTracker, tmp_path: Path
) -> None:
    program = """
        import json, sys
        from pathlib import Path
        from mlops.tracking.mlflow import MLflowTracker
        from mlops.entities import RunStatus
        settings = json.load(sys.stdin)
        tracker = MLflowTracker(**settings, journal=Path(sys.argv[1]))
        run = tracker.start_run(None, {}, None)
        with tracker.activate(run.id):
            assert "mlflow" not in sys.modules
            import mlflow
            mlflow.log_metric("x", 1)
            mlflow.log_text("text", "note.txt")
        print(tracker.end_run(run.id, RunStatus.FINISHED).id)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:mlflow", "-c", textwrap.dedent(program), str(tmp_path)],
        input=json.dumps(mlflow_accounts[0].settings()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read = tracker.get_run(done.stdout.split()[-1])
    assert (read.metrics, read.status) == ({"x": 1.0}, RunStatus.FINISHED)


def test_a_notebooks_run_is_active_in_every_thread(tracker: MLflowTracker) -> None:
    begun = tracker.start_run(None, {}, None)
    with tracker.activate(begun.id, process=True):
        thread = threading.Thread(target=lambda: mlflow.log_metric("from_thread", 1))
        thread.start()
        thread.join()
        mlflow.log_metric("here", 2)
        other = tracker.start_run(None, {}, None)
        with tracker.activate(other.id):
            mlflow.log_metric("theirs", 3)
    assert tracker.get_run(begun.id).metrics == {"from_thread": 1.0, "here": 2.0}
    assert tracker.get_run(other.id).metrics == {"theirs": 3.0}
    assert mlflow.active_run() is None
