"""The parts of a training inside its run: pre-training, folds, the registered model, exports, report."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drilling.alternatives import by_rules
from drilling.answers import Answers
from drilling.config import TrainingConfig
from drilling.cross_validation import FoldData, Learned, train_network
from drilling.dataset import Hole, HoleSet
from drilling.depth_grid import HoleWindows, hole_windows
from drilling.errors import TrainingPaused
from drilling.evaluation import DepthError, as_metrics, depth_errors, hole_errors
from drilling.fitting import Progress, predict
from drilling.fold_plan import part_held_out
from drilling.folding import Folded, cross_validate
from drilling.folds import connected_components
from drilling.model import KeypointEnsemble, KeypointModel
from drilling.out_of_fold import calibrated_on_other_folds, out_of_fold_table, spread_of
from drilling.pretraining import pretrain
from drilling.progress import staged
from drilling.registration import ENSEMBLE_NAME, MODEL_NAME, TORCH_NAME, export_checked, register
from drilling.report_files import TABLE, write_reports
from drilling.training_figures import held_out_figures
from drilling.training_report import summarised
from drilling.training_state import TrainingState
from mlops import ActiveRun, MLOpsClient, ModelVersion

# A seed beside those of the folds.
_FINAL = 1000

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a run gave. `errors` and `automatic_errors` are of the held-out holes alone.

    With a truth both are measured against it; without, the labels are the automatic key points,
    `errors` is the model's agreement with them, and `automatic_errors` is empty. `summary` is what
    training.json holds: errors of every method over the folds, comparisons, and times.
    """

    run: ActiveRun
    model: ModelVersion
    dataset: HoleSet
    held_out: Places
    grouped: bool
    predicted: Answers
    errors: dict[str, DepthError]
    automatic_errors: dict[str, DepthError]
    parity_mm: float
    seconds: float
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def example(self) -> Hole:
        """The first held-out hole."""
        return self.dataset.holes[int(self.held_out[0])]


@dataclass(slots=True)
class TrainingWork:
    """The parts of a training, inside its run."""

    client: MLOpsClient
    config: TrainingConfig
    dataset: HoleSet
    data: FoldData
    state: TrainingState
    device: torch.device
    workers: int
    progress: bool
    seconds: dict[str, float] = field(default_factory=dict)

    def outcome(self, run: ActiveRun, loaded: float, out: Path | None) -> TrainingOutcome:
        """Everything, in order: pre-training, folds, the model that is registered, exports, report."""
        self.seconds["data"] = loaded
        encoder = self._timed("pre-training", self._pretrained)
        folded = self._timed("folds", lambda: self._folded(encoder))
        chosen: Learned = "mixer" if folded is None else self._better(folded)
        with torch.random.fork_rng(devices=[]):
            model, progress, seen = self._timed("final model", lambda: self._final(chosen, encoder))
        if folded is not None:
            _calibrate_on_folds(model, folded.answers[chosen], self.data)
        held_out = np.flatnonzero(self.data.gate)
        windows = hole_windows([self.data.grids[place] for place in held_out])
        predicted = predict(model, windows)
        version, parity = self._timed("export", lambda: self._registered(model, windows, seen))
        labels = self.data.labels_mm[held_out]
        errors = depth_errors(predicted.present_mm(), labels, predicted.uncertainty_mm)
        automatic = self._automatic_errors(held_out)
        summary: dict[str, Any] = {"held_out": {name: asdict(each) for name, each in errors.items()}}
        with tempfile.TemporaryDirectory() as folder:
            target = out or Path(folder)
            target.mkdir(parents=True, exist_ok=True)
            if folded is not None:
                summary |= self._timed(
                    "report", lambda: self._reported(folded, chosen, windows, seen, target)
                )
            self._draw(held_out, predicted)
            summary["seconds"] = {name: round(value, 1) for name, value in self.seconds.items()}
            write_reports(self.client, target, summary)
        self.client.log_metrics(
            as_metrics(errors, "val")
            | as_metrics(automatic, "automatic")
            | {"parity_max_mm": parity, "train_seconds": self.seconds["final model"]}
            | {
                f"seconds_{name.replace(' ', '_').replace('-', '_')}": value
                for name, value in self.seconds.items()
            },
            step=len(progress.history),
        )
        self.client.log_apple_silicon_metrics()
        return TrainingOutcome(
            run, version, self.dataset, held_out, self._grouped(), predicted, errors, automatic, parity,
            self.seconds["final model"], summary,
        )  # fmt: skip

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` gives; its time counts on from what a killed run spent on it."""
        began = time.perf_counter()
        spent = float(self.state.run.get("seconds", {}).get(name, 0.0))
        try:
            return work()
        finally:
            self.seconds[name] = spent + time.perf_counter() - began
            self.state.keep_run(seconds=self.seconds)

    def _pulse(self) -> None:
        """Asked between epochs: whether the machine is cool enough to go on."""
        advice = self.client.thermal.check()
        if advice.should_checkpoint:
            raise TrainingPaused(f"the machine is too hot ({advice.reason})")

    def _pretrained(self) -> dict[str, Tensor] | None:
        if not self.config.pretraining_epochs or not self.dataset.unlabelled:
            return None
        stored = self.state.folder / "encoder.pt"
        if stored.is_file():
            kept: dict[str, Tensor] = torch.load(stored, weights_only=True)
            return kept

        def told(epoch: int, loss: float) -> None:
            self.client.log_metrics({"pretraining_loss": loss}, step=epoch)
            self._pulse()

        with torch.random.fork_rng(devices=[]):
            encoder = pretrain(
                list(self.dataset.unlabelled.values()), self.config.size(), self.config.pretraining_epochs,
                self.config.seed, self.device, told,
            )  # fmt: skip
        part = stored.with_suffix(".part")
        torch.save(encoder, part)
        part.replace(stored)
        return encoder

    def _folded(self, encoder: dict[str, Tensor] | None) -> Folded | None:
        if not self.data.plan.folds:
            return None
        return cross_validate(
            self.client, self.data, self.config, encoder, self.state.folder,
            device=self.device, workers=self.workers, pulse=self._pulse, progress=self.progress,
        )  # fmt: skip

    def _better(self, folded: Folded) -> Learned:
        """The network with the smaller mean error per hole, over all folds."""
        networks: tuple[Learned, ...] = ("mixer", "cnn")
        labels = self.data.labels_mm
        return min(
            networks, key=lambda name: float(hole_errors(folded.answers[name].present_mm(), labels).mean())
        )

    def _final(
        self, method: Learned, encoder: dict[str, Tensor] | None
    ) -> tuple[KeypointModel, Progress, list[Hole]]:
        """A network trained on all holes but those of the gate, and the holes that it has seen."""
        places = np.flatnonzero(~self.data.gate)
        stop, _ = part_held_out(
            self._components()[places], self.config.validation_share, [self.config.seed, _FINAL]
        )

        with staged("Training", shown=self.progress) as show:

            def told(epoch: int, figures: dict[str, float]) -> None:
                self.client.log_metrics(figures, step=epoch)
                show(f"epoch {epoch + 1}, {1e3 * figures['val_mae_mm']:.0f} µm off in validation")
                self._pulse()

            model, progress = train_network(
                self.data, places[~stop], places[stop], self.config, method, encoder,
                seed=self.config.seed + _FINAL, device=self.device,
                checkpoint=self.state.folder / "final.checkpoint", on_epoch=told,
            )  # fmt: skip
        return model.cpu(), progress, [self.dataset.holes[place] for place in places]

    def _components(self) -> Places:
        return connected_components([hole.groups for hole in self.dataset.holes])

    def _grouped(self) -> bool:
        return bool(self._components().max() > 0)

    def _automatic_errors(self, held_out: Places) -> dict[str, DepthError]:
        if not self.dataset.has_truth:
            return {}
        found = np.array([self.dataset.holes[place].automatic.as_array() for place in held_out])
        return depth_errors(found, self.data.labels_mm[held_out])

    def _registered(
        self, model: KeypointModel, windows: HoleWindows, seen: list[Hole]
    ) -> tuple[ModelVersion, float]:
        """Log both models; only the ONNX one is registered, once its parity is shown."""
        exported, parity = export_checked(model, windows, seen)
        self.client.log_model(model, name=TORCH_NAME, flavor="torch", register=True)
        answers, labels_mm = predict(model, windows), self.data.labels_mm[self.data.gate]
        version = register(self.client, exported, MODEL_NAME, windows, answers, labels_mm)
        return version, parity

    def _reported(
        self, folded: Folded, chosen: Learned, windows: HoleWindows, seen: list[Hole], target: Path
    ) -> dict[str, Any]:
        fold = np.empty(len(self.data.names), dtype=np.int64)
        for each in self.data.plan.folds:
            fold[each.held_out] = each.number
        methods = {
            name: calibrated_on_other_folds(answers, self.data.labels_mm, fold)
            for name, answers in folded.answers.items()
        }
        for name, found in by_rules([hole.log for hole in self.dataset.holes]).items():
            methods[name] = Answers(found, np.full_like(found, np.nan), np.isfinite(found).astype(float))
        table = out_of_fold_table(self.dataset.holes, fold, self._components(), methods)
        table.write_parquet(target / TABLE)
        summary = summarised(table, folded.curve)
        summary |= {
            "registered": chosen,
            "synthetic": self.dataset.synthetic,
            "labels": self.dataset.label_source,
        }
        summary["seconds_by_method"] = {name: round(value, 1) for name, value in folded.seconds.items()}
        summary["ensemble"] = self._ensemble(folded, chosen, windows, seen)
        return summary

    def _ensemble(
        self, folded: Folded, chosen: Learned, windows: HoleWindows, seen: list[Hole]
    ) -> dict[str, Any]:
        """Register all folds' networks as one model, judged on the gate's holes, which none has seen."""
        members = []
        for state in folded.states[chosen]:
            member = KeypointModel(self.config.size("mixer" if chosen == "mixer" else "none"))
            member.load_state_dict(state)
            _calibrate_on_folds(member, folded.answers[chosen], self.data)
            members.append(member.eval())
        ensemble = KeypointEnsemble(members)
        exported, parity = export_checked(ensemble, windows, seen)
        answers = predict(ensemble, windows)
        labels_mm = self.data.labels_mm[self.data.gate]
        version = register(self.client, exported, ENSEMBLE_NAME, windows, answers, labels_mm)
        errors = depth_errors(answers.present_mm(), labels_mm, answers.uncertainty_mm)
        self.client.log_metrics(as_metrics(errors, "ensemble") | {"ensemble_parity_max_mm": parity})
        return {
            "version": version.version,
            "members": len(members),
            "parity_mm": parity,
            "held_out": {name: asdict(each) for name, each in errors.items()},
        }

    def _draw(self, held_out: Places, predicted: Answers) -> None:
        holes = [self.dataset.holes[place] for place in held_out]
        for name, figure in held_out_figures(holes, predicted, self.dataset).items():
            self.client.log_figure(figure, f"figures/{name}.png")


def _calibrate_on_folds(model: KeypointModel, answers: Answers, data: FoldData) -> None:
    """Take the spread from what all folds answered for holes that their models had not seen."""
    spread = spread_of(answers.keypoints_mm, answers.uncertainty_mm, data.labels_mm)
    with torch.no_grad():
        model.spread.copy_(torch.tensor(spread))
