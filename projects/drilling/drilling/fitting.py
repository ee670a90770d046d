"""The training loop: heat maps around the labelled depths, with the depth error beside them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from drilling.model import KeypointModel, expected_depth
from drilling.progress import tracked

Arrays = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
_TARGET_WIDTH_MM = 0.12
_DEPTH_WEIGHT = 2.0
_MOST_GAIN = 0.15


@dataclass(frozen=True, slots=True)
class Examples:
    """Signals (n, 512, 5), depths (n, 512) and labels (n, 3) in mm, NaN where a label is unknown."""

    signals: Tensor
    position_mm: Tensor
    labels_mm: Tensor

    @classmethod
    def from_arrays(cls, arrays: Arrays, device: torch.device) -> "Examples":
        """The same arrays as tensors on a device."""
        return cls(*(torch.as_tensor(array, dtype=torch.float32, device=device) for array in arrays))

    def __len__(self) -> int:
        return self.signals.shape[0]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long, how fast and in what portions to train."""

    epochs: int
    learning_rate: float
    batch: int
    seed: int


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fit(
    model: KeypointModel,
    examples: Examples,
    schedule: Schedule,
    on_epoch: Callable[[int, float], None],
    *,
    progress: bool = True,
) -> None:
    """Train a model in place; `on_epoch` hears each epoch's number and mean loss."""
    model.fit_scaler(examples.signals)
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=1e-3)
    steps = -(-len(examples) // schedule.batch) * schedule.epochs
    slope = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=steps, pct_start=0.2
    )
    chance = torch.Generator().manual_seed(schedule.seed)
    for epoch in tracked(range(schedule.epochs), "Training", schedule.epochs, shown=progress):
        model.train()
        losses = []
        for rows in torch.split(torch.randperm(len(examples), generator=chance), schedule.batch):
            loss = _loss(model, examples, rows.to(examples.signals.device), chance)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            slope.step()
            losses.append(float(loss.detach()))
        on_epoch(epoch, float(np.mean(losses)))
    model.eval()


def predict(model: KeypointModel, examples: Examples) -> NDArray[np.float64]:
    """Key points in mm (n, 3) without touching the model's training state."""
    model.eval()
    with torch.inference_mode():
        depths: Tensor = model(examples.signals, examples.position_mm)
    return depths.cpu().numpy().astype(np.float64)


def _loss(model: KeypointModel, examples: Examples, rows: Tensor, chance: torch.Generator) -> Tensor:
    position, labels = examples.position_mm[rows], examples.labels_mm[rows]
    maps = model.heat_maps(_varied(examples.signals[rows], chance))
    known = labels.isfinite()
    target = _target(position, labels.nan_to_num())
    crossed = -(target * maps.log_softmax(dim=-1)).sum(dim=-1)
    away = (expected_depth(maps, position) - labels.nan_to_num()).abs()
    return (crossed + _DEPTH_WEIGHT * away)[known].mean()


def _target(position_mm: Tensor, labels_mm: Tensor) -> Tensor:
    """A heat map around each label, (n, 3, 512), that sums to 1."""
    away = (position_mm.unsqueeze(1) - labels_mm.unsqueeze(-1)) / _TARGET_WIDTH_MM
    return (-0.5 * away**2).softmax(dim=-1)


def _varied(signals: Tensor, chance: torch.Generator) -> Tensor:
    """The currents of each hole scaled by a few per cent, as wear and other tools would."""
    gain = 1 + _MOST_GAIN * (2 * torch.rand(signals.shape[0], 1, 1, generator=chance) - 1)
    gain = gain.to(signals.device)
    return torch.cat([signals[..., :3] * gain, signals[..., 3:]], dim=-1)
