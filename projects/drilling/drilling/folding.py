"""Cross-validation within a run: the folds, each a run of its own, and what they say together."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drilling.answers import Answers
from drilling.config import TrainingConfig
from drilling.cross_validation import FoldData, FoldOutcome, FoldTask, Learned, run_fold
from drilling.evaluation import as_metrics, depth_errors, mean_error_mm
from drilling.parallel import each
from drilling.progress import tracked
from mlops import MLOpsClient

LEARNED: tuple[Learned, ...] = ("mixer", "cnn", "trees")
FEW_HOLES = (100, 30)

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Folded:
    """What the folds gave: answers of each learned method for the holes in their order, the weights of each
    fold's network by method, the errors of the learning curve, and seconds spent by method."""

    answers: dict[str, Answers] = field(default_factory=dict)
    states: dict[str, list[dict[str, Tensor]]] = field(default_factory=dict)
    curve: list[dict[str, float | int | bool]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def cross_validate(
    client: MLOpsClient,
    data: FoldData,
    config: TrainingConfig,
    encoder: dict[str, Tensor] | None,
    folder: Path,
    *,
    device: torch.device,
    workers: int,
    pulse: Callable[[], None],
    progress: bool = True,
) -> Folded:
    """Train every learned method on every fold, and the network on few holes with and without pre-training.

    Each fold of the network becomes a run below the current one. `pulse` is called meanwhile; what it
    raises ends the work, which goes on from `folder` at the next call.
    """
    tasks = tasks_of(data, config, pretrained=encoder is not None)
    work = partial(
        run_fold, data=data, config=config, encoder=encoder, folder=folder, device=device.type,
        # A worker of Ray cannot call back; here each epoch asks whether to go on.
        on_epoch=(lambda *_: pulse()) if workers <= 1 else None,
    )  # fmt: skip
    outcomes: dict[FoldTask, FoldOutcome] = {}
    done = each(work, tasks, workers=workers, pulse=pulse)
    for task, outcome in tracked(done, "Cross-validation", len(tasks), shown=progress):
        outcomes[task] = outcome
        if task.method == "mixer" and task.holes is None and task.pretrained == (encoder is not None):
            log_fold(client, task, outcome, data, folder)
    return _together(outcomes, data, encoder is not None)


def tasks_of(data: FoldData, config: TrainingConfig, *, pretrained: bool) -> list[FoldTask]:
    """The longest first: a worker that ends early takes a short one."""
    folds = range(len(data.plan.folds))
    tasks = [FoldTask(fold, "mixer", pretrained) for fold in folds]
    few = list(folds)[: config.few_folds] if pretrained else []
    available = len(data.names) - int(data.gate.sum())
    counts = [None, *(count for count in FEW_HOLES if count < 0.8 * available)]
    twins = [(count, ready) for count in counts for ready in (True, False) if count or not ready]
    tasks += [FoldTask(fold, "mixer", ready, count) for fold in few for count, ready in twins]
    tasks += [FoldTask(fold, "cnn", False) for fold in folds]
    return tasks + [FoldTask(fold, "trees", False) for fold in folds]


def log_fold(client: MLOpsClient, task: FoldTask, outcome: FoldOutcome, data: FoldData, folder: Path) -> None:
    """Record a fold as a run of its own, once: also when a killed training goes on."""
    logged = folder / f"{task.name}.logged"
    if logged.exists():
        return
    labels = data.labels_mm[outcome.places]
    errors = depth_errors(outcome.answers.present_mm(), labels)
    with client.start_run(
        run_name=f"fold-{task.fold:02d}", tags={"fold": str(task.fold)}, log_system_metrics=False
    ):
        client.log_params({**asdict(task), "trained_on": outcome.trained_on, "held_out": outcome.places.size})
        for epoch, figures in enumerate(outcome.history):
            client.log_metrics(figures, step=epoch)
        client.log_metrics(
            as_metrics(errors, "test")
            | {"best_epoch": float(outcome.best_epoch), "train_seconds": outcome.seconds},
            step=len(outcome.history),
        )
    logged.touch()


def _together(outcomes: Mapping[FoldTask, FoldOutcome], data: FoldData, pretrained: bool) -> Folded:
    folded = Folded()
    for method in LEARNED:
        ready = pretrained and method == "mixer"
        found = [outcomes[FoldTask(fold, method, ready)] for fold in range(len(data.plan.folds))]
        arrays = [np.full_like(data.labels_mm, np.nan) for _ in Answers.__slots__]
        for outcome in found:
            for array, name in zip(arrays, Answers.__slots__, strict=True):
                array[outcome.places] = getattr(outcome.answers, name)
        folded.answers[method] = Answers(*arrays)
        folded.states[method] = [outcome.state for outcome in found]
        folded.seconds[method] = sum(outcome.seconds for outcome in found)
    curve = {task: outcome for task, outcome in outcomes.items() if _of_curve(task, outcomes)}
    folded.curve = [
        {
            "fold": task.fold,
            "holes": outcome.trained_on,
            "pretrained": task.pretrained,
            "mae_mm": _error(outcome, data),
        }
        for task, outcome in curve.items()
    ]
    folded.seconds["learning curve"] = sum(
        outcome.seconds for task, outcome in curve.items() if task.holes or not task.pretrained
    )
    return folded


def _of_curve(task: FoldTask, outcomes: Mapping[FoldTask, FoldOutcome]) -> bool:
    """Whether the task has a twin that differs in pre-training alone."""
    twin = FoldTask(task.fold, task.method, not task.pretrained, task.holes)
    return task.method == "mixer" and twin in outcomes


def _error(outcome: FoldOutcome, data: FoldData) -> float:
    errors = depth_errors(outcome.answers.present_mm(), data.labels_mm[outcome.places])
    return mean_error_mm(errors)
