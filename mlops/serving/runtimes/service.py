"""The Bento's service: what `bentoml serve` runs, and what a replica calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from . import InputProblem, load
from .functions import Infer, feature_maker, file_answer
from .signature import Array, Signature


class InvalidInput(BentoMLException):
    """An input that the model does not take, as `bentoml serve` answers it."""

    error_code = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, problem: InputProblem) -> None:
        super().__init__(str(problem))
        self.mlops_problem = problem.mlops_problem


@bentoml.service(name="model")
class Model:
    """One model version."""

    threads = 1
    providers: Sequence[str] = ()

    def __init__(self) -> None:
        source = Path(__file__).parent.parent
        self.runtime = load(source / "model", self.threads, self.providers)
        self.file_answer = file_answer(source)
        self.feature_maker = feature_maker(source)

    @bentoml.api
    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Arrays as nested lists by name, in and out."""
        try:
            return self.runtime.answer(inputs)
        except InputProblem as problem:
            raise InvalidInput(problem) from None

    @bentoml.api
    def predict_file(self, file: Path) -> dict[str, Any]:
        """A whole file, of a model that takes some."""
        return self.answer_file(file.read_bytes(), lambda inputs: self.run(self.check(inputs)))

    @property
    def takes_files(self) -> bool:
        """Whether `answer_file` does."""
        return self.file_answer is not None

    def answer_file(self, body: bytes, infer: Infer) -> dict[str, Any]:
        """What the project's function makes of the file, with `infer` to ask the model. Raises `InvalidInput`
        for a file that it does not take."""
        if self.file_answer is None:
            raise InvalidInput(InputProblem("file", "the model takes no files", "Ask `predict`."))
        try:
            return self.file_answer(body, infer)
        except ValueError as error:
            raise InvalidInput(
                InputProblem("file", str(error), "Send a file that the model takes.")
            ) from None

    def check(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Arrays that `run` takes, of arrays or nested lists: for callers in this process."""
        try:
            return self.runtime.check(inputs)
        except InputProblem as problem:
            raise InvalidInput(problem) from None

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """What the model makes of arrays that were checked."""
        return self.runtime.run(arrays)

    def signature(self) -> dict[str, Any]:
        """The arrays it takes and gives, as JSON."""
        return {"inputs": _told(self.runtime.inputs), "outputs": _told(self.runtime.outputs)}


def _told(signature: Signature | None) -> list[dict[str, Any]] | None:
    return None if signature is None else [asdict(tensor) for tensor in signature.tensors]
