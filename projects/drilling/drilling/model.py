"""The learned key points: a PatchTSMixer encoder, a head of heat maps, and the merging of windows.

Each window gets a heat map over its 512 cells for each key point, and a chance that the point is not in
it. A soft argmax gives the depth between cells, the head a scale of its error. A hole's windows are merged
by the inverse square of that scale. The scaler and the merging are part of the model, so that every
export answers for a whole hole: with depths, uncertainties, and the chance that there is such a point.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PatchTSMixerConfig, PatchTSMixerModel

from drilling.depth_grid import CHANNELS, SPACING_MM
from drilling.labeling import KEY_POINTS
from drilling.model_size import ModelSize
from drilling.scaling import FeatureScaler
from drilling.windows import LENGTH

_OUTSIDE = -1e4
_LEAST_LOG_SCALE, _MOST_LOG_SCALE = -6.0, 3.0


class HeatMaps(NamedTuple):
    """For n windows: logits of the cells and log-scales of the error in mm (n, 3, 512), logits of absence
    (n, 3)."""

    inside: Tensor
    log_scale: Tensor
    absent: Tensor


class KeyPointAnswer(NamedTuple):
    """For h holes, (h, 3) each: depths in mm, the half-width in mm of the interval that holds 90 % of the
    true depths, and the chance that the hole has such a point at all."""

    keypoints_mm: Tensor
    uncertainty_mm: Tensor
    presence: Tensor


class WindowAnswer(NamedTuple):
    """For n windows, (n, 3) each: depth below the window's first cell in cells, log-scale, chance."""

    cell: Tensor
    log_scale: Tensor
    presence: Tensor


class KeypointModel(nn.Module):
    """From the windows of holes, as `HoleWindows` has them, to a `KeyPointAnswer`.

    Scaler and calibration are buffers: set once from training and validation holes, never at inference.
    """

    mean: Tensor
    scale: Tensor
    spread: Tensor
    cells: Tensor

    def __init__(self, size: ModelSize | None = None) -> None:
        super().__init__()
        self.size = size = size or ModelSize()
        self.register_buffer("mean", torch.zeros(len(CHANNELS)))
        self.register_buffer("scale", torch.ones(len(CHANNELS)))
        self.register_buffer("spread", torch.ones(len(KEY_POINTS)))
        self.register_buffer("cells", torch.arange(LENGTH, dtype=torch.float32))
        width = len(CHANNELS)
        self.encoder: PatchTSMixerModel | None = None
        if size.encoder == "mixer":
            self.encoder = PatchTSMixerModel(encoder_config(size))
            self.expand = nn.Linear(len(CHANNELS) * size.d_model, size.patch * size.head_channels)
            width += size.head_channels
        self.trunk = _trunk(size, width)
        self.maps = nn.Conv1d(size.head_channels, 2 * len(KEY_POINTS), 1)
        self.absence = nn.Linear(size.head_channels, len(KEY_POINTS))

    def set_scaler(self, scaler: FeatureScaler) -> None:
        """Take a scaler that was fitted on the training holes' grids."""
        self.mean.copy_(torch.tensor(scaler.mean))
        self.scale.copy_(torch.tensor(scaler.scale))

    def heat_maps(self, signals: Tensor, length: Tensor) -> HeatMaps:
        """Heat maps of windows (n, 512, c) of which the first `length` (n,) cells are the hole's."""
        scaled = (signals - self.mean) / self.scale
        given = scaled
        if self.encoder is not None:
            patches = self.encoder(past_values=scaled).last_hidden_state
            context = self.expand(patches.transpose(1, 2).flatten(2))
            given = torch.cat([context.reshape(-1, LENGTH, self.size.head_channels), scaled], dim=-1)
        features = self.trunk(given.transpose(1, 2))
        logits, log_scale = self.maps(features).chunk(2, dim=1)
        outside = (self.cells >= length.unsqueeze(-1)).unsqueeze(1)
        return HeatMaps(
            torch.where(outside, torch.full_like(logits, _OUTSIDE), logits),
            log_scale.clamp(_LEAST_LOG_SCALE, _MOST_LOG_SCALE),
            self.absence(features.mean(dim=-1)),
        )

    def answer_of(self, maps: HeatMaps) -> WindowAnswer:
        """The soft argmax of each heat map, the scale of its error, and the chance that it is inside."""
        share = maps.inside.softmax(dim=-1)
        within = maps.inside.logsumexp(dim=-1) - math.log(LENGTH) - maps.absent
        return WindowAnswer(
            (share * self.cells).sum(dim=-1), (share * maps.log_scale).sum(dim=-1), within.sigmoid()
        )

    def forward(self, signals: Tensor, start_mm: Tensor, length: Tensor) -> KeyPointAnswer:
        """The answer for holes: signals (h, k, 512, c), start_mm (h, k), length (h, k)."""
        holes, windows = signals.shape[0], signals.shape[1]
        maps = self.heat_maps(signals.reshape(-1, LENGTH, len(CHANNELS)), length.reshape(-1))
        found = WindowAnswer(*(part.reshape(holes, windows, -1) for part in self.answer_of(maps)))
        depth = start_mm.unsqueeze(-1) + SPACING_MM * found.cell
        real = (length > 0).to(depth.dtype).unsqueeze(-1)
        variance = (2 * found.log_scale).exp()
        # A window that holds the point in no likelihood still answers, where no other does better.
        weight = real * (found.presence + 1e-6) / variance
        weight = weight / weight.sum(dim=1, keepdim=True)
        merged = (weight * depth).sum(dim=1)
        apart = (depth - merged.unsqueeze(1)).square()
        deviation = (weight * (variance + apart)).sum(dim=1).sqrt()
        return KeyPointAnswer(merged, self.spread * deviation, (real * found.presence).amax(dim=1))


class KeypointEnsemble(nn.Module):
    """The models of several folds as one, with the interface of one.

    Depths and chances are their means; the uncertainty is the mean of theirs, widened by how far apart
    they are.
    """

    def __init__(self, models: list[KeypointModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(models)

    @property
    def first(self) -> KeypointModel:
        """One of the members: all are of one size."""
        member = self.members[0]
        if not isinstance(member, KeypointModel):
            raise TypeError("an ensemble is made of KeypointModels")
        return member

    def forward(self, signals: Tensor, start_mm: Tensor, length: Tensor) -> KeyPointAnswer:
        """The mean answer; as in `KeypointModel`."""
        answers = [member(signals, start_mm, length) for member in self.members]
        depth, uncertainty, presence = (torch.stack(parts) for parts in zip(*answers, strict=True))
        mean = depth.mean(dim=0)
        apart = (depth - mean).square().mean(dim=0)
        return KeyPointAnswer(mean, (uncertainty.mean(dim=0).square() + apart).sqrt(), presence.mean(dim=0))


def encoder_config(size: ModelSize) -> PatchTSMixerConfig:
    """The encoder's configuration, also for its pre-training; scaling is ours."""
    return PatchTSMixerConfig(
        context_length=LENGTH,
        patch_length=size.patch,
        patch_stride=size.patch,
        num_input_channels=len(CHANNELS),
        d_model=size.d_model,
        num_layers=size.layers,
        mode="mix_channel",
        gated_attn=True,
        self_attn=False,
        dropout=0.1,
        scaling=None,
        random_mask_ratio=0.4,
    )


def _trunk(size: ModelSize, width: int) -> nn.Sequential:
    """Dilated convolutions: each sees twice as far, and the last one nearly the whole window."""
    layers: list[nn.Module] = []
    for number in range(size.head_layers):
        dilation = 2**number
        padding = size.kernel // 2 * dilation
        layers.append(nn.Conv1d(width, size.head_channels, size.kernel, padding=padding, dilation=dilation))
        layers.append(nn.GELU())
        width = size.head_channels
    return nn.Sequential(*layers)
