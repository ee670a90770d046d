"""Figures, texts and mappings as the files that a run keeps."""

from __future__ import annotations

import json
import posixpath
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops.errors import InvalidInput

Write = Callable[[Path], object]
"""Writes the file at a path."""


@contextmanager
def document(name: str, write: Write) -> Iterator[tuple[Path, str | None]]:
    """A temporary file of the name's last part, written, and the folder that the rest of `name` names.

    Raises `InvalidInput` for a name without a last part.
    """
    below, file_name = posixpath.split(name)
    if not file_name or file_name in (".", "..") or "\0" in file_name:
        raise InvalidInput("name", name, "names no file", remedy="Give one such as `plots/loss.png`.")
    with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
        path = Path(folder) / file_name
        write(path)
        yield path, below or None


def figure_writer(figure: Any, name: str) -> Write:
    """Writes a figure of matplotlib or plotly, or an image of PIL, by what it can do. A name that ends
    with `.html` keeps plotly's figure alive. Raises `InvalidInput` for anything else."""
    suffix = posixpath.splitext(name)[1].lower()
    for verb in ("write_html" if suffix in (".html", ".htm") else "write_image", "savefig", "save"):
        write = getattr(figure, verb, None)
        if callable(write):
            return _told(write, name)
    raise InvalidInput(
        "figure",
        type(figure).__name__,
        "is no figure",
        remedy="Give a figure of matplotlib or plotly, or an image of PIL.",
    )


def dict_writer(mapping: Mapping[str, Any], name: str) -> Write:
    """Writes a mapping as JSON or YAML, as the name's suffix says. Raises `InvalidInput` for another
    suffix, and for what the format cannot hold."""
    suffix = posixpath.splitext(name)[1].lower()
    if suffix == ".json":
        return _text_of(lambda: json.dumps(dict(mapping), indent=2, ensure_ascii=False) + "\n")
    if suffix in (".yaml", ".yml"):
        return _text_of(lambda: _yaml(mapping))
    raise InvalidInput("name", name, "ends with no known suffix", remedy="Use .json, .yaml or .yml.")


def text_writer(text: str) -> Write:
    """Writes a text in UTF-8. Raises `InvalidInput` for what is no text."""
    if not isinstance(text, str):
        raise InvalidInput("text", text, "is no text", remedy="Convert it, or use `log_dict`.")
    return _text_of(lambda: text)


def _told(write: Write, name: str) -> Write:
    def told(path: Path) -> None:
        try:
            write(path)
        except (ValueError, ImportError, KeyError, TypeError) as error:
            reason = f"cannot be written: {error}"
            raise InvalidInput(
                "name", name, reason, remedy="Use a suffix it knows; plotly's figures go well as .html."
            ) from error

    return told


def _text_of(make: Callable[[], str]) -> Write:
    def write(path: Path) -> None:
        try:
            path.write_bytes(make().encode())
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                "value", path.name, f"cannot be written: {error}", remedy="Convert its values first."
            ) from error

    return write


def _yaml(mapping: Mapping[str, Any]) -> str:
    import yaml

    try:
        return str(yaml.safe_dump(dict(mapping), sort_keys=False, allow_unicode=True))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
