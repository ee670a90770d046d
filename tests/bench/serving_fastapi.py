"""Run as a script: the plainest server of an ONNX model, FastAPI in one worker without any checks."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request


def create_app(path: str) -> FastAPI:
    """`POST /predict` with `{"inputs": {name: nested lists}}`, all of float32."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        given = (await request.json())["inputs"]
        found = session.run(names, {name: np.asarray(value, np.float32) for name, value in given.items()})
        return {"outputs": {name: array.tolist() for name, array in zip(names, found, strict=True)}}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
