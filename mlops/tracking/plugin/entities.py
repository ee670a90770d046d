"""Open runs as MLflow's entities: the server's where it is asked and answers, else the journal's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlflow.entities import (
    Experiment,
    LifecycleStage,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunTag,
)
from mlflow.protos import service_pb2
from mlflow.utils.proto_json_utils import parse_dict

from mlops.entities import RUN_KEY
from mlops.errors import MLOpsError
from mlops.tracking import sender
from mlops.tracking.codec import Decoder, Points
from mlops.tracking.journal import RunJournal
from mlops.tracking.open_runs import OpenRun
from mlops.tracking.rest import ServerRefusal
from mlops.tracking.run_folder import JOURNAL_SCHEME
from mlops.tracking.segment import records

LOCAL_EXPERIMENT = "mlops-experiment:"
"""Before the name of an experiment that was not looked up; together they stand for its id."""


def entity_of(run: OpenRun) -> Run:
    """MLflow's entity of a run of this process. Its id may be the key, which stays good."""
    if run.journal.mlflow_id is not None and sender.current().trouble(run.journal) is None:
        try:
            found = run.server.run(run.journal.mlflow_id)
            return Run.from_proto(_parsed(found))
        except (MLOpsError, ServerRefusal):
            pass  # as good as the journal knows it
    return journaled_entity(run)


def local_experiment(name: str) -> Experiment:
    """An experiment that was not looked up."""
    return Experiment(f"{LOCAL_EXPERIMENT}{name}", name, "", LifecycleStage.ACTIVE)


def journaled_entity(run: OpenRun) -> Run:
    """MLflow's entity of a run, as this process knows it."""
    journal, opening = run.journal, run.journal.opening
    tags = {"mlflow.runName": opening.name, RUN_KEY: journal.key, **journal.tags}
    info = RunInfo(
        run_id=run.id,
        experiment_id=_experiment_id(run),
        user_id=tags.get("mlflow.user", ""),
        status=journal.status.value,
        start_time=opening.started_ms,
        end_time=journal.ended_ms,
        lifecycle_stage=LifecycleStage.ACTIVE,
        artifact_uri=f"{JOURNAL_SCHEME}:/{journal.key}/artifacts",
        run_name=opening.name,
    )
    data = RunData(
        metrics=_last_metrics(journal),
        params=[Param(key, value) for key, value in journal.params.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )
    return Run(info, data, RunInputs(dataset_inputs=[], model_inputs=[]), RunOutputs(model_outputs=[]))


def journaled_history(run: OpenRun, key: str) -> list[Metric]:
    """The values of a metric that still lie in the journal."""
    return [
        Metric(key, value, points.time_ms, points.step, run_id=run.id)
        for points in _points(run.journal)
        for name, value in zip(points.keys, points.values, strict=True)
        if name == key
    ]


def _parsed(found: dict[str, object]) -> object:
    message = service_pb2.Run()
    parse_dict(found, message)
    return message


def _experiment_id(run: OpenRun) -> str:
    name = run.journal.opening.experiment
    if name is None:
        return run.server.experiment_id
    # A run that was delivered has its experiment; the server is not asked again.
    return run.server.experiment(name) if run.journal.mlflow_id else f"{LOCAL_EXPERIMENT}{name}"


def _last_metrics(journal: RunJournal) -> list[Metric]:
    started = journal.opening.started_ms
    last = {key: Metric(key, value, started, 0) for key, value in journal.last_metrics().items()}
    for points in _points(journal):
        for key, value in zip(points.keys, points.values, strict=True):
            if key not in last or points.step >= last[key].step:
                last[key] = Metric(key, value, points.time_ms, points.step)
    return list(last.values())


def journaled_operations(run: OpenRun) -> Iterator[dict[str, Any]]:
    """The run's operations that still lie in the journal, oldest first."""
    return (record for record in _records(run.journal) if isinstance(record, dict))


def _points(journal: RunJournal) -> Iterator[Points]:
    return (record for record in _records(journal) if isinstance(record, Points))


def _records(journal: RunJournal) -> Iterator[Points | dict[str, Any] | None]:
    for segment in journal.folder.segments():
        decoder = Decoder()
        try:
            for payload, _ in records(segment):
                yield decoder.decode(payload)
        except (FileNotFoundError, ValueError):
            continue  # delivered meanwhile, or told by the delivery
