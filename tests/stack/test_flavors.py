"""A model of a flavor of our own, from the run that logs it to its answer, over the real services."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import yaml

from mlops.client import MLOpsClient
from mlops.installation import Installation
from mlops.serving.bento import folder


def test_an_mlx_model_is_deployed_with_labels_of_its_run_and_data(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    with digits.start_run("mlx") as run:
        digits.use_data("data")
        version = digits.log_model(
            lambda x: x.sum(axis=1), "sums", flavor="mlx", input_example=np.eye(3, dtype=np.float32)
        )
    deployed = digits.deploy_model("sums", version)
    try:
        assert digits.predict("sums", {"inputs": [[1, 2, 3], [4, 5, 6]]}) == {"outputs": [6.0, 15.0]}
        made = folder(stack.bentos_dir, deployed.bento)
        labels = yaml.safe_load((made / "bento.yaml").read_text())["labels"]
        assert (labels["project"], labels["run"]) == ("digits", run.id)
        assert json.loads(labels["data"]) == {"data": digits.data_version("data").hash}
        assert json.loads(labels["signature"])["inputs"][0]["shape"] == [-1, 3]
    finally:
        digits.undeploy_model("sums")
