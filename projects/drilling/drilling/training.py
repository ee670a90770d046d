"""One training run: data in, a registered ONNX model and everything about it out."""

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from drilling import plots
from drilling.config import TrainingConfig
from drilling.dataset import Hole, HoleSet, load_holes
from drilling.depth_window import stacked
from drilling.errors import TooFewHoles
from drilling.evaluation import DepthError, as_metrics, depth_errors, mean_error_mm
from drilling.export import INPUTS, OUTPUT, check_parity, to_onnx
from drilling.fitting import Examples, Schedule, best_device, fit, predict
from drilling.folds import Split, hold_out
from drilling.labeling import KEY_POINTS
from drilling.model import KeypointModel, ModelSize
from mlops import ActiveRun, DataVersion, MLOpsClient, ModelVersion

__all__ = ["IntegratedTrainingPipeline", "TrainingConfig", "TrainingOutcome"]

MODEL_NAME = "keypoints"
_LEAST_HOLES = 10
_CPU = torch.device("cpu")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a run gave. `errors` and `automatic_errors` are of the held-out holes alone.

    With a truth both are measured against it; without, the labels are the automatic key points,
    `errors` is the model's agreement with them, and `automatic_errors` is empty.
    """

    run: ActiveRun
    model: ModelVersion
    dataset: HoleSet
    split: Split
    predicted_mm: Floats
    errors: dict[str, DepthError]
    automatic_errors: dict[str, DepthError]
    parity_mm: float
    seconds: float

    @property
    def example(self) -> Hole:
        """The first held-out hole."""
        return self.dataset.holes[int(self.split.held_out[0])]


class IntegratedTrainingPipeline:
    """Trains on one version of a project's data and records the run through the client."""

    def __init__(self, client: MLOpsClient, config: TrainingConfig, *, progress: bool = True) -> None:
        self._client = client
        self._config = config
        self._progress = progress

    def execute_training(self, data_version: DataVersion, experiment_name: str | None = None) -> str:
        """Train, log and register; returns the run's id. Raises what `train` raises."""
        return self.train(data_version, experiment_name).run.id

    def train(self, data_version: DataVersion, experiment_name: str | None = None) -> TrainingOutcome:
        """Train, log and register.

        Raises NoLogs or TooFewHoles before a run begins; ParityError ends the run as failed.
        """
        dataset = load_holes(Path(self._client.project.root) / data_version.path, progress=self._progress)
        if len(dataset.holes) < _LEAST_HOLES:
            raise TooFewHoles(len(dataset.holes), _LEAST_HOLES)
        groups = [hole.groups for hole in dataset.holes]
        split = hold_out(groups, self._config.held_out_share, self._config.seed)
        with self._client.start_run(
            run_name=f"keypoints-{len(dataset.holes)}-holes",
            tags=_tags(dataset, split),
            experiment_name=experiment_name,
        ) as run:
            self._client.log_data(data_version)
            return self._train_in(run, dataset, split)

    def _train_in(self, run: ActiveRun, dataset: HoleSet, split: Split) -> TrainingOutcome:
        device = best_device()
        self._client.log_params(
            asdict(self._config)
            | {"holes": len(dataset.holes), "held_out": split.held_out.size, "device": device.type}
        )
        began = time.perf_counter()
        model, held_out = self._fit(dataset, split, device)
        seconds = time.perf_counter() - began
        labels = np.array([dataset.holes[place].label_mm for place in split.held_out])
        predicted = predict(model, held_out)
        errors = depth_errors(predicted, labels)
        automatic = self._automatic_errors(dataset, split, labels)
        version, parity = self._export(model.cpu(), dataset, split)
        self._client.log_metrics(
            as_metrics(errors, "val")
            | as_metrics(automatic, "automatic")
            | {"parity_max_mm": parity, "train_seconds": seconds},
            step=self._config.epochs,
        )
        self._draw(dataset, split, predicted, labels)
        self._client.log_apple_silicon_metrics()
        return TrainingOutcome(run, version, dataset, split, predicted, errors, automatic, parity, seconds)

    def _fit(self, dataset: HoleSet, split: Split, device: torch.device) -> tuple[KeypointModel, Examples]:
        config = self._config
        schedule = Schedule(config.epochs, config.learning_rate, config.batch, config.seed)
        training = _examples(dataset, split.train, device)
        held_out = _examples(dataset, split.held_out, device)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            model = KeypointModel(ModelSize(config.d_model, config.layers, config.head_channels)).to(device)

            def record(epoch: int, loss: float) -> None:
                found = depth_errors(predict(model, held_out), held_out.labels_mm.cpu().double().numpy())
                metrics = {"train_loss": loss} | ({"val_mae_mm": mean_error_mm(found)} if found else {})
                self._client.log_metrics(metrics, step=epoch)

            fit(model, training, schedule, record, progress=self._progress)
        return model, held_out

    def _automatic_errors(self, dataset: HoleSet, split: Split, labels: Floats) -> dict[str, DepthError]:
        if not dataset.has_truth:
            return {}
        found = np.array([dataset.holes[place].automatic.as_array() for place in split.held_out])
        return depth_errors(found, labels)

    def _export(self, model: KeypointModel, dataset: HoleSet, split: Split) -> tuple[ModelVersion, float]:
        """Log both models; only the ONNX one is registered, once its parity is shown."""
        signals, position = stacked([dataset.holes[place].window for place in split.held_out])
        exported = to_onnx(model)
        parity = check_parity(exported, model, signals, position)
        inputs = dict(zip(INPUTS, (signals[:1], position[:1]), strict=True))
        unlabelled = np.full((1, len(KEY_POINTS)), np.nan, dtype=np.float32)
        output = predict(model, Examples.from_arrays((signals[:1], position[:1], unlabelled), _CPU))
        self._client.log_model(model, name=f"{MODEL_NAME}-torch", flavor="torch", register=False)
        version = self._registered(exported, inputs, output.astype(np.float32))
        return version, parity

    def _registered(
        self, exported: onnx.ModelProto, inputs: dict[str, NDArray[np.float32]], output: NDArray[np.float32]
    ) -> ModelVersion:
        version: ModelVersion | None = self._client.log_model(
            exported,
            name=MODEL_NAME,
            flavor="onnx",
            input_example=inputs,
            output_example={OUTPUT: output},
            register=True,
        )
        if version is None:
            raise RuntimeError("log_model(register=True) gave no version")
        return version

    def _draw(self, dataset: HoleSet, split: Split, predicted: Floats, labels: Floats) -> None:
        measured = "against the truth (synthetic)" if dataset.has_truth else "against the automatic labels"
        title = f"{labels.shape[0]} held-out holes, {measured}"
        figures = {"errors.png": plots.error_figure(predicted, labels, title)}
        by_error = np.argsort(np.nan_to_num(np.abs(predicted - labels)).max(axis=1))
        for name, place in (
            ("typical", by_error[by_error.size // 2]),
            ("worst", by_error[-1]),
        ):
            hole = dataset.holes[int(split.held_out[place])]
            figures[f"hole_{name}.png"] = plots.hole_figure(hole, predicted[place])
        with tempfile.TemporaryDirectory() as folder:
            for name, figure in figures.items():
                self._client.log_artifact(plots.save_figure(figure, Path(folder, name)), "figures")


def _examples(dataset: HoleSet, places: NDArray[np.int64], device: torch.device) -> Examples:
    holes = [dataset.holes[place] for place in places]
    signals, position = stacked([hole.window for hole in holes])
    labels = np.array([hole.label_mm for hole in holes], dtype=np.float32)
    return Examples.from_arrays((signals, position, labels), device)


def _tags(dataset: HoleSet, split: Split) -> dict[str, str]:
    return {
        "data.synthetic": str(dataset.synthetic).lower(),
        "data.files_left_out": str(len(dataset.failures)),
        "data.holes_unlabelled": str(len(dataset.unlabelled)),
        "labels": "truth" if dataset.has_truth else "automatic",
        "split.components": str(split.components),
        "split.grouped": str(split.grouped).lower(),
    }
