"""Which paths a data store takes: inside the project's folder, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from mlops.errors import DataNotFound, InvalidInput

_REMEDY = "Give a path below the project's folder, such as `data/raw`."


def check_path(root: Path, path: str) -> str:
    """Return `path` in plain POSIX form, relative to `root`; it need not exist.

    Raises `InvalidInput` for what is absolute, begins with `-`, is `root` itself, or leaves it, also
    through a symbolic link.
    """
    if not path or "\0" in path or path.startswith("-"):
        raise InvalidInput("path", path, "is not a path's name", remedy=_REMEDY)
    if Path(path).is_absolute():
        raise InvalidInput("path", path, "is absolute", remedy=_REMEDY)
    plain = os.path.normpath(path)
    if plain == "." or Path(plain).parts[0] == "..":
        raise InvalidInput("path", path, "is not inside the project's folder", remedy=_REMEDY)
    if any(part in (".dvc", ".git") for part in Path(plain).parts):
        raise InvalidInput("path", path, "belongs to the tools, not to the data", remedy=_REMEDY)
    if not (root / plain).resolve().is_relative_to(root.resolve()):
        raise InvalidInput(
            "path", path, "leads out of the project's folder by a symbolic link", remedy=_REMEDY
        )
    return Path(plain).as_posix()


def check_content(project: str, root: Path, path: str) -> None:
    """Check that what is to be added exists and holds no link out of `root`.

    Raises `DataNotFound`, `InvalidInput`.
    """
    target = root / path
    if not target.exists():
        raise DataNotFound(project, path)
    if not target.is_dir():
        return
    inside = root.resolve()
    for folder, folders, files in os.walk(target):
        for name in (*folders, *files):
            entry = Path(folder, name)
            if entry.is_symlink() and not entry.resolve().is_relative_to(inside):
                raise InvalidInput(
                    "path",
                    entry.relative_to(root).as_posix(),
                    "is a symbolic link out of the project's folder",
                    remedy="Replace the link by the file itself.",
                )
