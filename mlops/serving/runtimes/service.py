"""The Bento's service: what `bentoml serve` runs, and what a replica calls."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from . import InputProblem, load


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
