"""Run as a script: deploy an ONNX model on a Ray of defaults, as Ray Serve's documentation has it."""

from __future__ import annotations

import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment
class Model:
    """The model behind Serve's proxy."""

    def __init__(self, path: str) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(path)

    async def __call__(self, request: Request) -> Any:
        import numpy as np

        body = await request.json()
        label, _ = self.session.run(None, {"X": np.asarray(body["inputs"]["X"], np.float32)})
        return {"outputs": {"label": label.tolist()}}


if __name__ == "__main__":
    ray.init(address=sys.argv[1], namespace="bench", log_to_driver=False)
    if len(sys.argv) > 3:
        serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[3])})
    serve.run(Model.bind(sys.argv[2]), name="digits", route_prefix="/digits")
