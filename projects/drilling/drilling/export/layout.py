"""The same network laid out for a CPU: what ONNX Runtime computes fastest, with the same weights.

Two layers are written anew, not changed. Mixing four channels in the last axis makes rows of four numbers;
in the second axis they are rows of a window. Convolutions over one axis have no blocked kernel, those over
two have.
"""

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from drilling.model import KeypointEnsemble, KeypointModel


def laid_out(model: "KeypointModel | KeypointEnsemble") -> nn.Module:
    """A copy on the CPU, in evaluation mode, that answers alike and is only to be exported."""
    from drilling.model import KeypointModel

    still = copy.deepcopy(model).cpu().eval()
    for part in still.modules():
        if isinstance(part, KeypointModel):
            part.trunk = nn.Sequential(_Trunk(part.trunk))
            for layer in part.encoder.encoder.mlp_mixer_encoder.mixers if part.encoder is not None else ():
                layer.channel_feature_mixer = _ChannelMixer(layer.channel_feature_mixer)
    return still


class _ChannelMixer(nn.Module):
    """The gated perceptron over the channels of patches (n, channels, patches, d_model)."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm, self.gate = block.norm, block.gating_block.attn_layer
        self.first, self.second = block.mlp.fc1, block.mlp.fc2

    def forward(self, patches: Tensor) -> Tensor:
        given = self.norm(patches).flatten(2)
        scores = _mixed(self.gate, given)
        shares = (scores - scores.amax(dim=1, keepdim=True)).exp()
        gated = given * (shares / shares.sum(dim=1, keepdim=True))
        hidden = nn.functional.gelu(_mixed(self.first, gated))
        return patches + _mixed(self.second, hidden).reshape(patches.shape)


class _Trunk(nn.Module):
    """The dilated convolutions of (n, width, 512), as convolutions of images one row high."""

    def __init__(self, trunk: nn.Sequential) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(_as_rows(layer) if isinstance(layer, nn.Conv1d) else layer for layer in trunk)
        )

    def forward(self, given: Tensor) -> Tensor:
        features: Tensor = self.layers(given.unsqueeze(2))
        return features.squeeze(2)


def _as_rows(layer: nn.Conv1d) -> nn.Conv2d:
    (kernel,), (dilation,) = layer.kernel_size, layer.dilation
    rows = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (1, kernel),
        padding=(0, kernel // 2 * dilation),
        dilation=(1, dilation),
    )
    rows.weight = nn.Parameter(layer.weight.detach().unsqueeze(2))
    rows.bias = layer.bias
    return rows


def _mixed(layer: nn.Linear, given: Tensor) -> Tensor:
    """A linear layer over the second axis of (n, width, cells)."""
    return torch.matmul(layer.weight, given) + layer.bias.unsqueeze(-1)
