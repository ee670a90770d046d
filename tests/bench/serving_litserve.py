"""Run as a script, in LitServe's own environment: the model behind LitServe with one worker."""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime


class Model(litserve.LitAPI):
    """`{"inputs": {name: nested lists}}`, all of float32, to the outputs by name."""

    def setup(self, device: str) -> None:
        """Open the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    def decode_request(self, request):  # LitServe makes a schema of an annotation
        """The arrays."""
        return {name: np.asarray(value, np.float32) for name, value in request["inputs"].items()}

    def predict(self, x: Any) -> Any:
        """The outputs."""
        return self.session.run(self.names, x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """As lists."""
        found = zip(self.names, output, strict=True)
        return {"outputs": {name: array.tolist() for name, array in found}}


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
