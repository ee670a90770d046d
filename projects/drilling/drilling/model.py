"""The learned key points: a PatchTSMixer encoder, a head per place, and a soft argmax over depth."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PatchTSMixerConfig, PatchTSMixerModel

from drilling.depth_window import CHANNELS, LENGTH
from drilling.labeling import KEY_POINTS

PATCH = 8


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The encoder's width and depth, and the width of the head's convolutions."""

    d_model: int = 16
    layers: int = 4
    head_channels: int = 32


class KeypointModel(nn.Module):
    """From signals (n, 512, 5) and their depths (n, 512) to three key points in mm (n, 3).

    The scaler is part of the model: its mean and scale are buffers, set once from training holes.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: ModelSize | None = None) -> None:
        super().__init__()
        size = size or ModelSize()
        self.register_buffer("mean", torch.zeros(len(CHANNELS)))
        self.register_buffer("scale", torch.ones(len(CHANNELS)))
        self.encoder = PatchTSMixerModel(_encoder_config(size))
        self.spread = nn.Linear(len(CHANNELS) * size.d_model, PATCH * size.head_channels)
        self.head = _head(size.head_channels)

    def fit_scaler(self, signals: Tensor) -> None:
        """Take each channel's mean and standard deviation over training signals (n, 512, 5)."""
        self.mean.copy_(signals.mean(dim=(0, 1)))
        self.scale.copy_(signals.std(dim=(0, 1)).clamp_min(1e-3))

    def heat_maps(self, signals: Tensor) -> Tensor:
        """An unnormalised log-probability of each key point at each place: (n, 3, 512)."""
        scaled = (signals - self.mean) / self.scale
        patches = self.encoder(past_values=scaled).last_hidden_state
        context = self.spread(patches.transpose(1, 2).flatten(2))
        context = context.reshape(signals.shape[0], LENGTH, -1)
        maps: Tensor = self.head(torch.cat([context, scaled], dim=-1).transpose(1, 2))
        return maps

    def forward(self, signals: Tensor, position_mm: Tensor) -> Tensor:
        """Key points in mm (n, 3): each heat map's mean depth."""
        return expected_depth(self.heat_maps(signals), position_mm)


def expected_depth(heat_maps: Tensor, position_mm: Tensor) -> Tensor:
    """Soft argmax: the mean depth of each heat map (n, 3, 512) over the depths (n, 512)."""
    return (heat_maps.softmax(dim=-1) * position_mm.unsqueeze(1)).sum(dim=-1)


def _encoder_config(size: ModelSize) -> PatchTSMixerConfig:
    return PatchTSMixerConfig(
        context_length=LENGTH,
        patch_length=PATCH,
        patch_stride=PATCH,
        num_input_channels=len(CHANNELS),
        d_model=size.d_model,
        num_layers=size.layers,
        mode="mix_channel",
        gated_attn=True,
        self_attn=False,
        dropout=0.1,
        scaling=None,
    )


def _head(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(channels + len(CHANNELS), channels, 9, padding=4),
        nn.GELU(),
        nn.Conv1d(channels, channels, 9, padding=4),
        nn.GELU(),
        nn.Conv1d(channels, len(KEY_POINTS), 1),
    )
