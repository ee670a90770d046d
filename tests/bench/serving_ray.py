"""Run as a script: deploy an ONNX model on a Ray of defaults, as Ray Serve's documentation has it."""

from __future__ import annotations

import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment
class Model:
    """The model behind Serve's proxy: `{"inputs": {name: nested lists}}`, all of float32."""

    def __init__(self, path: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    async def __call__(self, request: Request) -> Any:
        import numpy as np

        given = (await request.json())["inputs"]
        arrays = {name: np.asarray(value, np.float32) for name, value in given.items()}
        found = zip(self.names, self.session.run(self.names, arrays), strict=True)
        return {"outputs": {name: array.tolist() for name, array in found}}


if __name__ == "__main__":
    ray.init(address=sys.argv[1], namespace="bench", log_to_driver=False)
    if len(sys.argv) > 3:
        serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[3])})
    serve.run(Model.bind(sys.argv[2]), name="model", route_prefix="/predict")
