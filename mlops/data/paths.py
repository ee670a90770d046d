"""Which paths a data store takes: inside the project's folder, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from mlops.errors import InvalidInput
from mlops.project import FILE_NAME

TOOLS = (".dvc", ".git", ".mlops-data")
"""Names of what the tools keep in a project's folder."""
_REMEDY = "Give a path below the project's folder, such as `data/raw`."


def check_path(root: Path, path: str) -> str:
    """Return `path` in plain POSIX form, relative to `root`; it need not exist.

    Raises `InvalidInput` for what is absolute, begins with `-`, is `root` itself, or leaves it, also
    through a symbolic link, and for what is another project's.
    """
    if not path or any(ord(character) < 32 for character in path):
        raise InvalidInput("path", path, "is not a path's name", remedy=_REMEDY)
    if any(part.startswith("-") for part in Path(path).parts):
        raise InvalidInput(
            "path", path, "has a name that begins with `-`, which commands take for an option", remedy=_REMEDY
        )
    if "://" in path:
        raise InvalidInput("path", path, "is a URL", remedy=_REMEDY)
    if Path(path).is_absolute():
        raise InvalidInput("path", path, "is absolute", remedy=_REMEDY)
    plain = os.path.normpath(path)
    if plain == "." or Path(plain).parts[0] == "..":
        raise InvalidInput("path", path, "is not inside the project's folder", remedy=_REMEDY)
    try:
        top, target = root.resolve(), (root / plain).resolve()
        if top not in target.parents:
            raise InvalidInput(
                "path",
                path,
                "leads out of the project's folder, or to it, by a symbolic link",
                remedy=_REMEDY,
            )
        _check_own(root, Path(plain), path)
        _check_own(top, target.relative_to(top), path)  # where symbolic links lead
    except (OSError, RuntimeError, UnicodeError) as error:  # too long, a loop of links, no file name
        raise InvalidInput("path", path, f"cannot be looked up: {error}", remedy=_REMEDY) from error
    return Path(plain).as_posix()


def _check_own(root: Path, plain: Path, path: str) -> None:
    if any(part in TOOLS for part in plain.parts):
        raise InvalidInput("path", path, "belongs to the tools, not to the data", remedy=_REMEDY)
    for folder in (plain, *plain.parents[:-1]):
        if (root / folder / ".dvc").is_dir() or (root / folder / FILE_NAME).is_file():
            raise InvalidInput("path", path, "is another project's", remedy="Use that project's client.")
