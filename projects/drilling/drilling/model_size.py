"""What a network is made of and how it is trained, as plain figures: reading them costs no torch."""

from dataclasses import dataclass
from typing import Literal

Encoder = Literal["mixer", "none"]


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What a network is made of. Without an encoder it is the small CNN of the comparison."""

    encoder: Encoder = "mixer"
    d_model: int = 16
    layers: int = 2
    patch: int = 16
    head_channels: int = 24
    head_layers: int = 6
    kernel: int = 9


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long, how fast and in what portions to train; `patience` epochs without a better validation
    error end it early."""

    epochs: int
    learning_rate: float
    batch: int
    seed: int
    patience: int = 20
