"""Run as a script, in LitServe's own environment: the model behind LitServe with one worker."""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime


class Model(litserve.LitAPI):
    """`{"inputs": {"X": rows}}` to labels."""

    def setup(self, device: str) -> None:
        """Open the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request):  # LitServe makes a schema of an annotation
        """The array."""
        return np.asarray(request["inputs"]["X"], np.float32)

    def predict(self, x: Any) -> Any:
        """The labels."""
        return self.session.run(None, {"X": x})[0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        """As lists."""
        return {"outputs": {"label": output.tolist()}}


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
