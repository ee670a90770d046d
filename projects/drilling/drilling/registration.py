"""A trained network as a registered challenger: the ONNX model, and what it says of itself.

The ONNX model's metadata names the holes it was trained on and their tools, heads and panels (hashed), so
that it can later be compared on others, and keeps the scaler.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from drilling.answers import Answers
from drilling.dataset import Floats, Hole
from drilling.depth_grid import CHANNELS, SPACING_MM, HoleWindows
from drilling.export import OUTPUTS, check_parity, open_session, run_onnx, to_onnx
from drilling.fitting import predict
from drilling.labeling import KEY_POINTS
from drilling.model import KeypointEnsemble, KeypointModel
from mlops import MLOpsClient, ModelVersion

MODEL_NAME, ENSEMBLE_NAME, TORCH_NAME = "keypoints", "keypoints-ensemble", "keypoints-torch"
CHALLENGER, CHAMPION = "challenger", "champion"
_SEEN = "drilling.seen"


def export_checked(
    model: KeypointModel | KeypointEnsemble, windows: HoleWindows, seen: Sequence[Hole]
) -> tuple[onnx.ModelProto, float]:
    """The model as ONNX, with the largest difference in mm from torch over the windows of held-out holes.

    `seen` are the holes it was trained on or stopped early by. Raises ParityError.
    """
    exported = to_onnx(model)
    difference = check_parity(run_onnx(open_session(exported), windows), predict(model, windows))
    first = model if isinstance(model, KeypointModel) else model.first
    onnx.helper.set_model_props(
        exported,
        {
            _SEEN: json.dumps(_digests(seen)),
            "drilling.channels": json.dumps(CHANNELS),
            "drilling.spacing_mm": str(SPACING_MM),
            "drilling.size": json.dumps(asdict(first.size)),
            "drilling.scaler": json.dumps({"mean": first.mean.tolist(), "scale": first.scale.tolist()}),
        },
    )
    return exported, difference


def register(
    client: MLOpsClient,
    exported: onnx.ModelProto,
    name: str,
    windows: HoleWindows,
    answers: Answers,
    labels_mm: Floats,
) -> ModelVersion:
    """Log and register an ONNX model with the first of the windows as its example, as the challenger.

    The windows, of n holes that the model was not fitted to, the answers to them and their labels (n, 3), NaN
    where there is none, are its reference.
    """
    example = {key: array[:1] for key, array in windows.as_dict().items()}
    output = {key: getattr(answers, key)[:1].astype(np.float32) for key in OUTPUTS}
    given = {key: getattr(answers, key).astype(np.float32) for key in OUTPUTS}
    labels = {point: labels_mm[:, place] for place, point in enumerate(KEY_POINTS)}
    version = client.log_model(
        exported, name=name, flavor="onnx", input_example=example, output_example=output,
        reference=(windows.as_dict(), given, labels), register=True,
    )  # fmt: skip
    if version is None:
        raise RuntimeError("log_model(register=True) gave no version")
    if not version.pending:
        client.set_alias(name, CHALLENGER, version)
    return version


def unseen(holes: Sequence[Hole], models: Iterable[onnx.ModelProto]) -> NDArray[np.bool_]:
    """Which holes (n,) none of the models knows: neither they, nor their tools, heads or panels.

    A model that does not say what it has seen knows all of them.
    """
    fresh = np.ones(len(holes), dtype=bool)
    for model in models:
        props: Mapping[str, str] = {prop.key: prop.value for prop in model.metadata_props}
        if _SEEN not in props:
            return np.zeros(len(holes), dtype=bool)
        known = frozenset(json.loads(props[_SEEN]))
        fresh &= np.array([known.isdisjoint(_marks(hole)) for hole in holes], dtype=bool)
    return fresh


def _digests(holes: Sequence[Hole]) -> list[str]:
    return sorted({mark for hole in holes for mark in _marks(hole)})


def _marks(hole: Hole) -> list[str]:
    """Hashes of a hole's content and of the names that tie it to others, each with its kind."""
    content = hashlib.sha256(hole.grid.values.tobytes()).hexdigest()
    names: list[tuple[str, Any]] = [("hole", content)]
    names += [(kind, name) for kind, name in zip(("tool", "head", "panel"), hole.groups, strict=True) if name]
    return [hashlib.sha256(f"{kind}\n{name}".encode()).hexdigest()[:16] for kind, name in names]
