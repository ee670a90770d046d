"""Functions of the project's own, whose code lies in the Bento: what answers whole files with the model's
help, and what makes the features that are logged."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .signature import Array

DECLARATION, CODE = "functions.json", "project"
ANSWER, FEATURES = "answer", "features"
"""What a function is for."""

Infer = Callable[[Mapping[str, Any]], dict[str, Array]]
FileAnswer = Callable[[bytes, Infer], dict[str, Any]]
"""The file's bytes, and what asks the model (arrays in, arrays out), to what JSON can hold. It raises
`ValueError`, or an error of the toolkit's, for a file that cannot be answered."""
FeatureMaker = Callable[[Mapping[str, Array], Mapping[str, Array]], Mapping[str, Mapping[str, Any]]]
"""The model's inputs and outputs, rows along their first axis, to `inputs` and `outputs`: values by feature,
one for each row."""


def file_answer(folder: Path) -> FileAnswer | None:
    """The function that the Bento's source folder declares; None where its model takes no files."""
    answer: FileAnswer | None = _function(folder, ANSWER)
    return answer


def feature_maker(folder: Path) -> FeatureMaker | None:
    """The function that the Bento's source folder declares; None where there is none, or it cannot be
    imported: the model answers without it."""
    try:
        maker: FeatureMaker | None = _function(folder, FEATURES)
        return maker
    except Exception:
        logging.getLogger(__name__).exception("the project's features cannot be made: the usual are logged")
        return None


def _function(folder: Path, use: str) -> Any:
    declaration = folder / DECLARATION
    if not declaration.is_file():
        return None
    call = json.loads(declaration.read_text(encoding="utf-8")).get(use)
    if call is None:
        return None
    code = str(folder / CODE)
    if code not in sys.path:
        # First, so that the code that was packaged answers, and not what is installed meanwhile.
        sys.path.insert(0, code)
    module, _, name = call.partition(":")
    return getattr(importlib.import_module(module), name)
