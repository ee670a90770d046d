"""The digits project: scikit-learn's own handwritten digits, a logistic regression, an ONNX model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from mlops import MLOpsClient, ModelVersion


@dataclass(frozen=True)
class Trained:
    """What a run left."""

    run_id: str
    version: ModelVersion
    accuracy: float
    sample: np.ndarray
    """One held-out image, (1, 64) float32."""
    expected: int
    """What the model says of it in-process."""


def train(client: MLOpsClient) -> Trained:
    """Version the data, train, log, register."""
    from skl2onnx import to_onnx

    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    (client.project.root / "data").mkdir(exist_ok=True)
    np.savetxt(client.project.root / "data" / "digits.csv", np.c_[images, labels], fmt="%g", delimiter=",")
    data = client.dvc_add("data")
    client.dvc_push()
    seen, held_out, seen_labels, held_out_labels = train_test_split(images, labels, random_state=0)
    with client.start_run(run_name="logistic regression") as run:
        model = LogisticRegression(max_iter=200).fit(seen, seen_labels)
        accuracy = float(model.score(held_out, held_out_labels))
        client.log_data(data)
        client.log_params({"max_iter": 200})
        client.log_metrics({"accuracy": accuracy})
        onnx_model = to_onnx(model, held_out[:1], options={"zipmap": False})
        version = client.log_model(
            onnx_model,
            "digits",
            flavor="onnx",
            input_example={"X": held_out[:1]},
            reference=(
                {"X": held_out},
                {"label": model.predict(held_out), "probabilities": model.predict_proba(held_out)},
                {"label": held_out_labels},
            ),
        )
    assert version is not None
    sample = held_out[:1]
    return Trained(run.id, version, accuracy, sample, int(model.predict(sample)[0]))
