"""Files that a model answers whole, by a function of the project's own whose code lies in the Bento."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .signature import Array

DECLARATION, CODE = "files.json", "project"

Infer = Callable[[Mapping[str, Any]], dict[str, Array]]
FileAnswer = Callable[[bytes, Infer], dict[str, Any]]
"""The file's bytes, and what asks the model (arrays in, arrays out), to what JSON can hold. It raises
`ValueError`, or an error of the toolkit's, for a file that cannot be answered."""


def file_answer(folder: Path) -> FileAnswer | None:
    """The function that the Bento's source folder declares; None where its model takes no files."""
    declaration = folder / DECLARATION
    if not declaration.is_file():
        return None
    module, _, name = json.loads(declaration.read_text(encoding="utf-8"))["answer"].partition(":")
    # First, so that the code that was packaged answers, and not what is installed meanwhile.
    sys.path.insert(0, str(folder / CODE))
    answer: FileAnswer = getattr(importlib.import_module(module), name)
    return answer
