"""A registered model in every format, each judged by the holes that it has not seen."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from drilling.answers import Answers
from drilling.dataset import load_holes
from drilling.depth_grid import HoleWindows, hole_windows
from drilling.errors import DrillingError, InvalidConfig, TooFewHoles
from drilling.evaluation import depth_errors, mean_error_mm
from drilling.export import open_session, run_onnx, to_float16, to_int8
from drilling.model import KeypointModel
from drilling.predictor import KeypointPredictor
from drilling.promotion import load_onnx
from drilling.registration import MODEL_NAME, TORCH_NAME, unseen
from mlops import MLOpsClient, ModelVersion

_CALIBRATION_HOLES = 40

Answer = Callable[[HoleWindows], Answers]


def export_all(
    client: MLOpsClient, version: str, data: Path, out: Path, *, progress: bool = True
) -> list[dict[str, Any]]:
    """Write ONNX in float32, float16 and int8, MLX and Core ML to `out`, with a row for each: its file and
    size, the largest difference in mm from float32 ONNX, its mean error, and the median time for one hole.

    A format that this machine cannot write or run says why in `problem`. Raises InvalidConfig for an unknown
    version, TooFewHoles where the model has seen all holes of `data`.
    """
    found = version_of(client, version)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        exported = load_onnx(client, MODEL_NAME, int(found.version or 0), Path(folder))
        model = _torch_model(client, found, Path(folder))
    holes = load_holes(data, progress=progress).holes
    fresh = unseen(holes, [exported])
    if not fresh.any():
        raise TooFewHoles(0, 1)
    windows = hole_windows([hole.grid for hole, new in zip(holes, fresh, strict=True) if new])
    labels = np.array([hole.label_mm for hole, new in zip(holes, fresh, strict=True) if new])
    seen = [hole.grid for hole, new in zip(holes, fresh, strict=True) if not new][:_CALIBRATION_HOLES]
    calibration = hole_windows(seen) if seen else windows
    expected = run_onnx(open_session(exported), windows)
    writers: dict[str, Callable[[], tuple[Path, Answer]]] = {
        "ONNX float32": lambda: _onnx(exported, out / "keypoints.onnx"),
        "ONNX float16": lambda: _onnx(to_float16(exported), out / "keypoints.float16.onnx"),
        "ONNX int8": lambda: _onnx(to_int8(exported, calibration), out / "keypoints.int8.onnx"),
        "MLX": lambda: _mlx(model, out / "keypoints.mlx.safetensors"),
        "Core ML": lambda: _core_ml(model, out / "keypoints.mlpackage", windows.signals.shape[1]),
    }
    return [_row(name, write, windows, labels, expected) for name, write in writers.items()]


def predictor_of(model: Path | None, version: str) -> KeypointPredictor:
    """The predictor of an .onnx file, or of a registered version. Raises InvalidConfig for either unknown."""
    if model is not None:
        if not model.is_file():
            raise InvalidConfig(str(model), "there is no such model: give an .onnx file of drilling:export")
        return KeypointPredictor.load(model)
    client = MLOpsClient.from_project("drilling")
    with tempfile.TemporaryDirectory() as folder:
        found = version_of(client, version)
        return KeypointPredictor(load_onnx(client, MODEL_NAME, int(found.version or 0), Path(folder)))


def version_of(client: MLOpsClient, wanted: str) -> ModelVersion:
    """The version of `keypoints` with that number or alias. Raises InvalidConfig naming those there are."""
    versions = client.list_models(MODEL_NAME)
    for version in versions:
        if wanted in (str(version.version), *version.aliases):
            return version
    known = ", ".join(
        f"{version.version} ({', '.join(version.aliases)})" if version.aliases else str(version.version)
        for version in versions
    )
    raise InvalidConfig(f"version {wanted}", f"{MODEL_NAME} has no such version or alias; it has {known}")


def _row(
    name: str,
    write: Callable[[], tuple[Path, Answer]],
    windows: HoleWindows,
    labels: np.ndarray[Any, np.dtype[np.float64]],
    expected: Answers,
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(
        ("format", "file", "kB", "difference_mm", "mae_mm", "ms_per_hole", "problem")
    )
    row["format"] = name
    try:
        path, answer = write()
        row |= {"file": str(path), "kB": round(_size(path) / 1024)}
        answers = answer(windows)
        away = np.abs(answers.keypoints_mm - expected.keypoints_mm)
        row["difference_mm"] = round(float(away.max()), 6)
        row["mae_mm"] = round(mean_error_mm(depth_errors(answers.present_mm(), labels)), 4)
        row["ms_per_hole"] = round(_ms_per_hole(answer, windows), 2)
    except (DrillingError, ImportError) as error:
        row["problem"] = str(error)
    return row


def _ms_per_hole(answer: Answer, windows: HoleWindows) -> float:
    times = []
    for place in range(min(30, len(windows.signals))):
        most = max(1, int((windows.length[place] > 0).sum()))
        rows = slice(place, place + 1)
        one = HoleWindows(
            windows.signals[rows, :most], windows.start_mm[rows, :most], windows.length[rows, :most]
        )
        began = time.perf_counter()
        answer(one)
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def _onnx(model: onnx.ModelProto, path: Path) -> tuple[Path, Answer]:
    onnx.save(model, path)
    session = open_session(model)
    return path, lambda windows: run_onnx(session, windows)


def _mlx(model: KeypointModel, path: Path) -> tuple[Path, Answer]:
    from drilling.export.mlx_model import MlxKeypointModel, to_mlx

    to_mlx(model).save(path)
    return path, MlxKeypointModel.load(path).answer


def _core_ml(model: KeypointModel, path: Path, windows: int) -> tuple[Path, Answer]:
    from drilling.export.coreml import coreml_answers, to_coreml

    to_coreml(model, path, windows)
    return path, lambda given: coreml_answers(path, given)


def _torch_model(client: MLOpsClient, version: ModelVersion, folder: Path) -> KeypointModel:
    """The torch model that the run of an ONNX version registered beside it: a pickle of the project's own."""
    import torch

    twin = next((each for each in client.list_models(TORCH_NAME) if each.run_id == version.run_id), None)
    if twin is None:
        raise InvalidConfig(f"version {version.version}", f"its run registered no {TORCH_NAME}")
    path = client.download_model(TORCH_NAME, twin, folder / "torch")
    model: KeypointModel = torch.load(next(path.rglob("*.pth")), map_location="cpu", weights_only=False)
    return model.eval()


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
