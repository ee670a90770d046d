"""One training run: data in; folds, a comparison, and a registered ONNX model with all about it out."""

import platform
import time
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path

from drilling.config import TrainingConfig
from drilling.cross_validation import FoldData
from drilling.dataset import HoleSet, load_holes
from drilling.devices import best_device, workers_for
from drilling.errors import TooFewHoles
from drilling.fold_plan import FoldPlan
from drilling.folds import connected_components, grouped_folds, read_folds
from drilling.gate import gate_holes
from drilling.training_state import TrainingState
from drilling.training_work import TrainingOutcome, TrainingWork
from mlops import DataVersion, MLOpsClient

__all__ = ["IntegratedTrainingPipeline", "TrainingConfig", "TrainingOutcome"]

LEAST_HOLES = 10


class IntegratedTrainingPipeline:
    """Trains on one version of a project's data and records the run through the client.

    `folds` is a folds.json and `labels` a labels.parquet of the stages before; without them folds are
    planned here, and labels are the truth of synthetic holes or found automatically.
    """

    def __init__(
        self,
        client: MLOpsClient,
        config: TrainingConfig,
        *,
        folds: Path | None = None,
        labels: Path | None = None,
        out: Path | None = None,
        workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self._client = client
        self._config = config
        self._folds, self._labels, self._out = folds, labels, out
        self._device = best_device()
        self._workers = workers or workers_for(self._device)
        self._progress = progress

    def execute_training(self, data_version: DataVersion, experiment_name: str | None = None) -> str:
        """Train, log and register; returns the run's id. Raises what `train` raises."""
        return self.train(data_version, experiment_name).run.id

    def train(self, data_version: DataVersion, experiment_name: str | None = None) -> TrainingOutcome:
        """Train, log and register.

        Raises NoLogs, TooFewHoles, FoldTooSmall or FoldsMismatch before a run begins; TrainingPaused or
        KeyboardInterrupt leave checkpoints from which the next call goes on, in the same run; ParityError
        ends the run as failed.
        """
        began = time.perf_counter()
        folder = Path(self._client.project.root) / data_version.path
        dataset = load_holes(folder, labels=self._labels, progress=self._progress)
        if len(dataset.holes) < LEAST_HOLES:
            raise TooFewHoles(len(dataset.holes), LEAST_HOLES)
        data = self._fold_data(dataset)
        root = Path(self._client.project.root)
        state = TrainingState.open(root, data_version.hash, self._config, data)
        loaded = time.perf_counter() - began
        with self._client.start_run(
            run_name=f"keypoints-{len(dataset.holes)}-holes",
            tags=_tags(dataset, data),
            experiment_name=experiment_name,
            run_id=state.run.get("id"),
        ) as run:
            if not state.run:
                state.keep_run(id=run.id)
                self._client.log_data(data_version)
                self._client.log_params(self._params(dataset, data))
                self._client.log_text(_environment(), "environment.txt")
            outcome = TrainingWork(
                self._client, self._config, dataset, data, state, self._device, self._workers, self._progress
            ).outcome(run, loaded, self._out)
        state.remove()
        return outcome

    def _fold_data(self, dataset: HoleSet) -> FoldData:
        names = [hole.name for hole in dataset.holes]
        groups = [hole.groups for hole in dataset.holes]
        gate = gate_holes(groups, names, self._config.held_out_share)
        plan = self._plan(groups, names)
        data = FoldData([hole.grid for hole in dataset.holes], names, dataset.labels_mm, plan, gate)
        for fold in plan.folds:
            data.split(fold.number, self._config.validation_share)
        return data

    def _plan(self, groups: list[tuple[str, str, str]], names: list[str]) -> FoldPlan:
        if self._folds is not None:
            return read_folds(self._folds).limited_to(names)  # not all planned holes have a label
        if not self._config.folds:
            components = connected_components(groups)
            return FoldPlan((), components, None, tuple(names), self._config.seed)
        return grouped_folds(groups, self._config.folds, self._config.seed, names)

    def _params(self, dataset: HoleSet, data: FoldData) -> dict[str, object]:
        return asdict(self._config) | {
            "holes": len(dataset.holes),
            "held_out": int(data.gate.sum()),
            "holes_unlabelled": len(dataset.unlabelled),
            "folds": len(data.plan.folds),
            "device": self._device.type,
            "workers": self._workers,
        }


def _environment() -> str:
    """Every installed distribution with its version."""
    found = {each.metadata["Name"]: each.version for each in distributions()}
    python = f"# Python {platform.python_version()}, {platform.platform()}\n"
    return python + "".join(f"{name}=={found[name]}\n" for name in sorted(found, key=str.lower))


def _tags(dataset: HoleSet, data: FoldData) -> dict[str, str]:
    grouped = data.plan.components.max() > 0
    return {
        "data.synthetic": str(dataset.synthetic).lower(),
        "data.files_left_out": str(len(dataset.failures)),
        "data.holes_unlabelled": str(len(dataset.unlabelled)),
        "labels": dataset.label_source,
        "split.components": str(int(data.plan.components.max()) + 1),
        "split.grouped": str(bool(grouped)).lower(),
    } | ({"folds.warning": data.plan.warning} if data.plan.warning else {})
