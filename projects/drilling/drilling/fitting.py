"""The training loop: heat maps around the labelled depths, early stopping, and checkpoints to resume from."""

import copy
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from drilling.answers import Answers
from drilling.depth_grid import SPACING_MM, HoleWindows, hole_windows
from drilling.examples import Examples, Portion, random_portion
from drilling.model import HeatMaps, KeypointModel
from drilling.model_size import Schedule
from drilling.windows import FeatureTable

Floats = NDArray[np.float64]
_TARGET_CELLS = 3.0
_DEPTH_WEIGHT, _SCALE_WEIGHT = 2.0, 0.1
_KEPT = 0.98
_COVERED = 0.9
_AT_ONCE = 64


@dataclass(slots=True)
class Progress:
    """Where a training stands: what a checkpoint holds."""

    epoch: int = 0
    best_epoch: int = -1
    best_mm: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


OnEpoch = Callable[[int, dict[str, float]], None]


def fit(
    model: KeypointModel,
    training: Examples,
    validation: tuple[list[FeatureTable], Floats],
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> Progress:
    """Train a model in place, and leave it with the weights of its best epoch and a calibrated uncertainty.

    `validation` is grids and labels (h, 3) in mm. `on_epoch` hears each epoch's number, mean loss and
    validation error; what it raises ends the training, which goes on from `checkpoint` at the next call.
    The same examples, schedule and model give the same weights, resumed or not.
    """
    loop = _Loop(model, training, schedule)
    progress = loop.resumed(checkpoint)
    grids, labels = validation
    windows = hole_windows(grids)
    while progress.epoch < schedule.epochs and progress.epoch - progress.best_epoch <= schedule.patience:
        figures = {"train_loss": loop.epoch()}
        away = np.abs(predict(loop.average, windows).keypoints_mm - labels)
        figures["val_mae_mm"] = float(np.nanmean(away)) if np.isfinite(away).any() else float("nan")
        progress.history.append(figures)
        if not figures["val_mae_mm"] >= progress.best_mm:
            progress.best_epoch, progress.best_mm = progress.epoch, figures["val_mae_mm"]
            progress.best = copy.deepcopy(
                {name: weight.cpu() for name, weight in loop.average.module.state_dict().items()}
            )
        progress.epoch += 1
        loop.save(progress, checkpoint)
        if on_epoch is not None:
            on_epoch(progress.epoch - 1, figures)
    model.load_state_dict(progress.best)
    calibrate(model, windows, labels)
    return progress


def predict(model: nn.Module, windows: HoleWindows) -> Answers:
    """The answers for holes, on the model's device, a portion of holes at a time."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(windows.signals), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            given = (torch.as_tensor(array[rows], device=device) for array in windows.as_dict().values())
            parts.append([part.cpu().numpy().astype(np.float64) for part in model(*given)])
    return Answers(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def calibrate(model: KeypointModel, windows: HoleWindows, labels_mm: Floats) -> None:
    """Set the model's spread so that its uncertainty covers 90 % of labelled holes it was not trained on.

    The quantile is that of split conformal prediction, (n + 1) * 0.9 / n: few holes give wide intervals.
    A key point with fewer than ten holes takes the quantile over all key points.
    """
    with torch.no_grad():
        model.spread.fill_(1.0)
    found = predict(model, windows)
    share = np.abs(found.keypoints_mm - labels_mm) / found.uncertainty_mm
    pooled = _quantile(share[np.isfinite(share)])
    spread = [
        _quantile(known) if (known := column[np.isfinite(column)]).size >= 10 else pooled
        for column in share.T
    ]
    with torch.no_grad():
        model.spread.copy_(torch.tensor(spread))


def _quantile(values: Floats) -> float:
    if not values.size:
        return 1.0
    return max(float(np.quantile(values, min(1.0, _COVERED * (values.size + 1) / values.size))), 1e-3)


def _mean_of_late(mean: Tensor, latest: Tensor, count: Tensor | int) -> Tensor:
    """The running mean of the weights: of the last 50 steps or so, of fewer while there were fewer."""
    kept = min(_KEPT, (1 + int(count)) / (10 + int(count)))
    return mean.lerp(latest, 1 - kept)


class _Loop:
    """Model, optimizer, schedule and random state, which a checkpoint keeps together."""

    def __init__(self, model: KeypointModel, examples: Examples, schedule: Schedule) -> None:
        self.model, self.examples, self.schedule = model, examples, schedule
        rate = schedule.learning_rate
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
        steps = -(-len(examples) // schedule.batch) * schedule.epochs
        self.slope = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rate, total_steps=steps, pct_start=0.2
        )
        self.chance = torch.Generator().manual_seed(schedule.seed)
        self.average = AveragedModel(model, avg_fn=_mean_of_late)

    def epoch(self) -> float:
        """A pass over the holes; the mean loss."""
        self.model.train()
        losses = []
        for rows in torch.split(
            torch.randperm(len(self.examples), generator=self.chance), self.schedule.batch
        ):
            # Dropout draws from the global generator: it is seeded here, so that a resumed run repeats.
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=self.chance)))
            loss = loss_of(self.model, random_portion(self.examples, rows, self.chance))
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.slope.step()
            self.average.update_parameters(self.model)
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def save(self, progress: Progress, path: Path | None) -> None:
        """Write the checkpoint at once or not at all."""
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        torch.save(
            {
                "for": self._identity(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "slope": self.slope.state_dict(),
                "average": self.average.state_dict(),
                "chance": self.chance.get_state(),
                "progress": {name: getattr(progress, name) for name in Progress.__slots__},
            },
            part,
        )
        part.replace(path)

    def resumed(self, path: Path | None) -> Progress:
        """The state of a checkpoint of this very training, else the beginning."""
        if path is None or not path.is_file():
            return Progress()
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if kept["for"] != self._identity():
            return Progress()
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.slope.load_state_dict(kept["slope"])
        self.average.load_state_dict(kept["average"])
        self.chance.set_state(kept["chance"])
        return Progress(**kept["progress"])

    def _identity(self) -> str:
        content = f"{self.schedule} {self.model.size} {self.examples.values.cpu().double().sum().item()!r}"
        labels = self.examples.labels_mm.cpu().numpy().tobytes()
        return hashlib.sha256(content.encode() + labels).hexdigest()


def loss_of(model: KeypointModel, portion: Portion) -> Tensor:
    """Cross-entropy of each heat map with a narrow bell around its label, or with absence; the error of the
    soft argmax in mm; and the Laplace likelihood that teaches the scale of that error."""
    maps = model.heat_maps(portion.signals, portion.length)
    found = model.answer_of(maps)
    inside = portion.inside
    cell = torch.where(inside, portion.cell, torch.zeros_like(portion.cell))
    crossed = torch.where(portion.known, _crossed(maps, model.cells, cell, inside), 0.0)
    away = SPACING_MM * (found.cell - cell).abs()
    likelihood = away.detach() * (-found.log_scale).exp() + found.log_scale
    per_point = torch.where(inside, _DEPTH_WEIGHT * away + _SCALE_WEIGHT * likelihood, 0.0)
    return crossed.mean() + per_point.sum() / inside.sum().clamp(min=1)


def _crossed(maps: HeatMaps, cells: Tensor, cell: Tensor, inside: Tensor) -> Tensor:
    absent = maps.absent.unsqueeze(-1) + float(np.log(cells.numel()))
    everywhere = torch.cat([maps.inside, absent], dim=-1).log_softmax(dim=-1)
    bell = (-0.5 * ((cells - cell.unsqueeze(-1)) / _TARGET_CELLS) ** 2).softmax(dim=-1)
    # Cells behind the hole's end hold -1e4: a bell that reaches there would cost as much.
    within = maps.inside > -5e3
    bell = torch.where(within, bell, 0.0)
    bell = bell / bell.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    return -torch.where(inside, (bell * everywhere[..., :-1]).sum(dim=-1), everywhere[..., -1])
