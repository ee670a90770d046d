"""Folds as tasks that any process can do: train on a fold's holes, answer for those it held out.

What a task gave is stored when it is done, and every epoch leaves a checkpoint, so that a killed run goes
on where it was. Holes of the gate are answered for, never trained on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drilling.alternatives import BoostedTrees
from drilling.answers import Answers
from drilling.config import TrainingConfig
from drilling.depth_grid import hole_windows
from drilling.errors import FoldTooSmall
from drilling.examples import Examples
from drilling.fitting import OnEpoch, fit, predict
from drilling.fold_plan import FoldPlan, FoldSplit
from drilling.model import KeypointModel
from drilling.scaling import FeatureScaler
from drilling.windows import FeatureTable

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Learned = Literal["mixer", "cnn", "trees"]
_FEW = 150


@dataclass(frozen=True, slots=True)
class FoldData:
    """The labelled holes that folds are made of: `gate` (h,) marks those never to train on."""

    grids: list[FeatureTable]
    names: list[str]
    labels_mm: Floats
    plan: FoldPlan
    gate: NDArray[np.bool_]

    def split(self, fold: int, validation_share: float) -> FoldSplit:
        """A fold's holes without those of the gate to learn from. Raises FoldTooSmall where no hole is left
        to train or to validate on."""
        split = self.plan.split(fold, validation_share)
        train, validation = (part[~self.gate[part]] for part in (split.train, split.validation))
        for name, part in (("train", train), ("validate", validation)):
            if not part.size:
                raise FoldTooSmall(fold, name)
        return replace(split, train=train, validation=validation)


@dataclass(frozen=True, slots=True)
class FoldTask:
    """One training: of a method, for a fold, from a pre-trained encoder or not, with at most `holes` holes
    to train on."""

    fold: int
    method: Learned
    pretrained: bool = True
    holes: int | None = None

    @property
    def name(self) -> str:
        """A file's name for it."""
        start = "" if self.pretrained else "-scratch"
        return f"fold-{self.fold:02d}-{self.method}{start}{f'-{self.holes}' if self.holes else ''}"


@dataclass(slots=True)
class FoldOutcome:
    """The answers for the held-out holes at `places`, and how the training went.

    The uncertainty is that of a spread of 1: it is calibrated on other folds. `state` are a network's
    weights, `calibrated` its spread by its own validation holes.
    """

    places: Places
    answers: Answers
    seconds: float
    trained_on: int
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)
    state: dict[str, Tensor] = field(default_factory=dict)


def run_fold(
    task: FoldTask,
    *,
    data: FoldData,
    config: TrainingConfig,
    encoder: dict[str, Tensor] | None,
    folder: Path,
    device: str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> FoldOutcome:
    """Do a task, or load what it gave before from `folder`."""
    stored = folder / f"{task.name}.pt"
    if stored.is_file():
        return load_outcome(stored)
    began = time.perf_counter()
    split = data.split(task.fold, config.validation_share)
    train, validation = split.train, split.validation
    if task.holes is not None:
        train = np.sort(np.random.default_rng([config.seed, task.fold]).permutation(train)[: task.holes])
    if task.method == "trees":
        outcome = _trees(data, np.concatenate([train, validation]), split.test, config.seed)
    else:
        start = encoder if task.pretrained and task.method == "mixer" else None
        trained, progress = train_network(
            data, train, validation, config, task.method, start,
            seed=config.seed + task.fold, device=torch.device(device),
            checkpoint=folder / f"{task.name}.checkpoint", on_epoch=on_epoch,
        )  # fmt: skip
        state = {name: weight.cpu() for name, weight in trained.state_dict().items()}
        with torch.no_grad():
            trained.spread.fill_(1.0)
        answers = predict(trained, hole_windows([data.grids[place] for place in split.test]))
        outcome = FoldOutcome(
            split.test, answers, 0.0, train.size, progress.best_epoch, progress.history, state
        )
    outcome.seconds = time.perf_counter() - began
    _store(outcome, stored)
    (folder / f"{task.name}.checkpoint").unlink(missing_ok=True)
    return outcome


def train_network(
    data: FoldData,
    train: Places,
    validation: Places,
    config: TrainingConfig,
    method: Learned,
    encoder: dict[str, Tensor] | None,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Path | None,
    on_epoch: OnEpoch | None = None,
) -> tuple[KeypointModel, Any]:
    """A network trained on some holes and stopped early by others, with how it went.

    Fewer than 150 holes are gone through more often, so that the number of steps stays of one size.
    """
    torch.manual_seed(seed)
    model = KeypointModel(config.size("mixer" if method == "mixer" else "none"))
    if encoder is not None and model.encoder is not None:
        model.encoder.load_state_dict(encoder)
    model.set_scaler(FeatureScaler.fit((data.names[place], data.grids[place]) for place in train))
    model.to(device)
    more = max(1, round(_FEW / train.size))
    progress = fit(
        model,
        Examples.of([data.grids[place] for place in train], data.labels_mm[train], device),
        ([data.grids[place] for place in validation], data.labels_mm[validation]),
        config.schedule(seed, config.epochs * more),
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    return model, progress


def load_outcome(path: Path) -> FoldOutcome:
    """What `run_fold` stored."""
    kept: dict[str, Any] = torch.load(path, weights_only=True)
    answers = Answers(*(kept[name].numpy() for name in Answers.__slots__))
    return FoldOutcome(kept["places"].numpy(), answers, *(kept[name] for name in _PLAIN))


_PLAIN = ("seconds", "trained_on", "best_epoch", "history", "state")


def _store(outcome: FoldOutcome, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: torch.from_numpy(getattr(outcome.answers, name)) for name in Answers.__slots__}
    part = path.with_suffix(".part")
    plain = {name: getattr(outcome, name) for name in _PLAIN}
    torch.save({"places": torch.from_numpy(outcome.places), **arrays, **plain}, part)
    part.replace(path)


def _trees(data: FoldData, train: Places, test: Places, seed: int) -> FoldOutcome:
    trees = BoostedTrees(seed).fit([data.grids[place] for place in train], data.labels_mm[train])
    found = trees.predict([data.grids[place] for place in test])
    nothing = np.full_like(found, np.nan)
    return FoldOutcome(test, Answers(found, nothing, np.isfinite(found).astype(float)), 0.0, train.size)


Work = Callable[[FoldTask], FoldOutcome]
