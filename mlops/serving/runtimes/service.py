"""The Bento's service: what `bentoml serve` runs, and what a replica calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from . import InputProblem, load
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

    def __init__(self) -> None:
        self.runtime = load(Path(__file__).parent.parent / "model", self.threads)

    @bentoml.api
    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Arrays as nested lists by name, in and out."""
        try:
            return self.runtime.answer(inputs)
        except InputProblem as problem:
            raise InvalidInput(problem) from None

    def compute(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Arrays by name, in and out: for callers in this process."""
        try:
            return self.runtime.compute(inputs)
        except InputProblem as problem:
            raise InvalidInput(problem) from None

    def signature(self) -> dict[str, Any]:
        """The arrays it takes and gives, as JSON."""
        return {"inputs": _told(self.runtime.inputs), "outputs": _told(self.runtime.outputs)}


def _told(signature: Signature | None) -> list[dict[str, Any]] | None:
    return None if signature is None else [asdict(tensor) for tensor in signature.tensors]
