"""The same model in MLX, for the GPU of a Mac: its layers written anew, its weights those of torch.

Signals lie as (n, cells, channels), which is how MLX convolves; torch's kernels are turned once.
"""

import importlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drilling.answers import Answers
from drilling.depth_grid import CHANNELS, SPACING_MM, HoleWindows
from drilling.errors import DrillingError
from drilling.export.onnx_model import check_windows
from drilling.model_size import ModelSize
from drilling.windows import LENGTH

if TYPE_CHECKING:
    from drilling.model import KeypointModel

mx: Any
try:
    mx = importlib.import_module("mlx.core")
except ImportError:  # it is no dependency: only this format needs it
    mx = None

_FORMAT = "drilling-keypoints-1"
_OUTSIDE = -1e4
_LEAST_LOG_SCALE, _MOST_LOG_SCALE = -6.0, 3.0
_NORM_EPSILON = 1e-5

Weights = dict[str, NDArray[np.float32]]


class MlxMissing(DrillingError):
    """MLX is not installed."""

    def __init__(self) -> None:
        super().__init__("this format needs MLX, which is not installed", remedy="pip install mlx")


class NotOurWeights(DrillingError):
    """A file that `MlxKeypointModel.save` did not write."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} holds no key point model: {problem}",
            remedy="Give a file that drilling:export wrote.",
            path=path,
            problem=problem,
        )


class MlxKeypointModel:
    """From the windows of holes to `Answers`; in evaluation mode, without dropout."""

    def __init__(self, size: ModelSize, weights: Weights) -> None:
        """Weights by torch's names, kernels as (out, width, in). Raises MlxMissing."""
        if mx is None:
            raise MlxMissing
        self.size, self._weights = size, {name: mx.array(value) for name, value in weights.items()}

    def answer(self, windows: HoleWindows) -> Answers:
        """The answers for holes. Raises InvalidSignals for arrays that are no windows."""
        check_windows(windows)
        found = self._forward(*(mx.array(array) for array in windows.as_dict().values()))
        return Answers(*(np.array(part).astype(np.float64) for part in found))

    def save(self, path: Path) -> Path:
        """Write the weights, the scaler among them, as safetensors with the size in the metadata."""
        said = {
            "format": _FORMAT,
            "size": json.dumps(asdict(self.size)),
            "scaler": json.dumps({name: self._weights[name].tolist() for name in ("mean", "scale")}),
            "channels": json.dumps(CHANNELS),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        # mlx appends its suffix to any other name.
        part = path.with_name(f".{path.name}.part.safetensors")
        mx.save_safetensors(str(part), self._weights, said)
        return part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "MlxKeypointModel":
        """A model that `save` wrote. Raises NotOurWeights, MlxMissing."""
        if mx is None:
            raise MlxMissing
        if not path.is_file():
            raise NotOurWeights(path, "there is no such file")
        try:
            weights, said = mx.load(str(path), format="safetensors", return_metadata=True)
        except (RuntimeError, ValueError) as error:
            raise NotOurWeights(path, "it is no safetensors file") from error
        if said.get("format") != _FORMAT:
            raise NotOurWeights(path, f"its format is {said.get('format')!r}, not {_FORMAT!r}")
        size = ModelSize(**json.loads(said["size"]))
        return cls(size, {name: np.array(value) for name, value in weights.items()})

    def _forward(self, signals: Any, start_mm: Any, length: Any) -> tuple[Any, Any, Any]:
        holes, count = signals.shape[:2]
        maps = self._heat_maps(signals.reshape(-1, LENGTH, len(CHANNELS)), length.reshape(-1))
        cell, log_scale, presence = (part.reshape(holes, count, -1) for part in _read(*maps))
        return self._merged(start_mm[..., None] + SPACING_MM * cell, log_scale, presence, length)

    def _heat_maps(self, signals: Any, length: Any) -> tuple[Any, Any, Any]:
        """Logits and log-scales (n, 512, 3), logits of absence (n, 3)."""
        scaled = (signals - self._weights["mean"]) / self._weights["scale"]
        given = scaled
        if self.size.encoder == "mixer":
            patches = self._encoded(scaled).transpose(0, 2, 1, 3)
            context = self._linear("expand", patches.reshape(*patches.shape[:2], -1))
            given = mx.concatenate([context.reshape(-1, LENGTH, self.size.head_channels), scaled], axis=-1)
        features = self._trunk(given)
        logits, log_scale = mx.split(self._convolved("maps", features), 2, axis=-1)
        outside = mx.arange(LENGTH)[None, :, None] >= length[:, None, None]
        absent = self._linear("absence", features.mean(axis=1))
        clipped = mx.clip(log_scale, _LEAST_LOG_SCALE, _MOST_LOG_SCALE)
        return mx.where(outside, _OUTSIDE, logits), clipped, absent

    def _encoded(self, scaled: Any) -> Any:
        """The mixer's patches (n, channels, patches, d_model) of scaled signals (n, 512, channels)."""
        cut = scaled.transpose(0, 2, 1).reshape(len(scaled), len(CHANNELS), -1, self.size.patch)
        patches = self._linear("encoder.encoder.patcher", cut)
        for layer in range(self.size.layers):
            patches = self._mixed(f"encoder.encoder.mlp_mixer_encoder.mixers.{layer}", patches)
        return patches

    def _mixed(self, layer: str, patches: Any) -> Any:
        """One layer: over channels, which it gates before their perceptron, then patches, then features."""
        name = f"{layer}.channel_feature_mixer"
        turned = self._normed(name, patches).transpose(0, 3, 2, 1)
        patches = patches + self._perceptron(name, self._gated(name, turned)).transpose(0, 3, 2, 1)
        name = f"{layer}.patch_mixer"
        turned = self._normed(name, patches).transpose(0, 1, 3, 2)
        patches = patches + self._gated(name, self._perceptron(name, turned)).transpose(0, 1, 3, 2)
        name = f"{layer}.feature_mixer"
        return patches + self._gated(name, self._perceptron(name, self._normed(name, patches)))

    def _trunk(self, given: Any) -> Any:
        """Features (n, 512, head_channels)."""
        for number in range(self.size.head_layers):
            dilation = 2**number
            padding = self.size.kernel // 2 * dilation
            given = _gelu(self._convolved(f"trunk.{2 * number}", given, padding, dilation))
        return given

    def _merged(self, depth: Any, log_scale: Any, presence: Any, length: Any) -> tuple[Any, Any, Any]:
        """The windows of each hole (h, k, 3) as one: depth, half-width and chance, (h, 3) each."""
        real = (length > 0).astype(mx.float32)[..., None]
        variance = mx.exp(2 * log_scale)
        weight = real * (presence + 1e-6) / variance
        weight = weight / weight.sum(axis=1, keepdims=True)
        merged = (weight * depth).sum(axis=1)
        apart = mx.square(depth - merged[:, None])
        deviation = mx.sqrt((weight * (variance + apart)).sum(axis=1))
        return merged, self._weights["spread"] * deviation, (real * presence).max(axis=1)

    def _linear(self, name: str, given: Any) -> Any:
        return given @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _convolved(self, name: str, given: Any, padding: int = 0, dilation: int = 1) -> Any:
        kernel = self._weights[f"{name}.weight"]
        return mx.conv1d(given, kernel, padding=padding, dilation=dilation) + self._weights[f"{name}.bias"]

    def _normed(self, name: str, given: Any) -> Any:
        weight, bias = self._weights[f"{name}.norm.norm.weight"], self._weights[f"{name}.norm.norm.bias"]
        return mx.fast.layer_norm(given, weight, bias, _NORM_EPSILON)

    def _perceptron(self, name: str, given: Any) -> Any:
        return self._linear(f"{name}.mlp.fc2", _gelu(self._linear(f"{name}.mlp.fc1", given)))

    def _gated(self, name: str, given: Any) -> Any:
        scores = self._linear(f"{name}.gating_block.attn_layer", given)
        return given * mx.softmax(scores, axis=-1, precise=True)


def to_mlx(model: "KeypointModel") -> MlxKeypointModel:
    """The trained model in MLX: weights, scaler and calibration. Raises MlxMissing."""
    weights: Weights = {}
    for name, tensor in model.state_dict().items():
        value = tensor.detach().cpu().float().numpy()
        weights[name] = np.ascontiguousarray(value.transpose(0, 2, 1)) if value.ndim == 3 else value
    del weights["cells"]
    return MlxKeypointModel(model.size, weights)


def _read(logits: Any, log_scale: Any, absent: Any) -> tuple[Any, Any, Any]:
    """The soft argmax in cells, the log-scale there, and the chance, (n, 3) each."""
    share = mx.softmax(logits, axis=1, precise=True)
    within = mx.logsumexp(logits, axis=1) - math.log(LENGTH) - absent
    cells = mx.arange(LENGTH).astype(mx.float32)[None, :, None]
    return (share * cells).sum(axis=1), (share * log_scale).sum(axis=1), mx.sigmoid(within)


def _gelu(given: Any) -> Any:
    return given * (1 + mx.erf(given / math.sqrt(2))) / 2
