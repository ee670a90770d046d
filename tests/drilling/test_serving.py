"""A log's bytes to key points, as a replica of the served model answers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drilling.depth_grid import grid_of
from drilling.errors import LogUnreadable
from drilling.export.onnx_model import OUTPUTS, open_session, to_onnx
from drilling.model import KeypointModel
from drilling.model_size import ModelSize
from drilling.predictor import KeypointPredictor
from drilling.scaling import FeatureScaler
from drilling.serving import answer_log
from drilling.setitec import read_log
from drilling.setitec.folder import log_paths
from mlops.project import read_project


def test_the_answer_is_that_of_the_exported_model(synthetic_folder: Path) -> None:
    grids = [(path.name, grid_of(read_log(path))) for path in log_paths(synthetic_folder)[:5]]
    model = KeypointModel(ModelSize(encoder="none")).eval()
    model.set_scaler(FeatureScaler.fit(grids))
    exported = to_onnx(model)
    session, predictor = open_session(exported, threads=1), KeypointPredictor(exported, threads=1)

    def infer(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return dict(zip(OUTPUTS, session.run(list(OUTPUTS), dict(inputs)), strict=True))

    for path in log_paths(synthetic_folder)[:5]:
        expected = {name: asdict(point) for name, point in predictor.predict(path.read_bytes()).items()}
        assert answer_log(path.read_bytes(), infer) == expected


@pytest.mark.parametrize("body", [b"", b"no log", np.random.default_rng(1).bytes(5000)])
def test_what_is_no_log_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(LogUnreadable, match="no drilling signal"):
        answer_log(body, lambda _: pytest.fail("the model is not asked"))


def test_the_project_declares_it() -> None:
    files = read_project(Path(__file__).parents[2] / "projects" / "drilling").serving.files
    assert files["keypoints"] == f"{answer_log.__module__}:{answer_log.__name__}"
