"""Copies of what a run logs as files, kept until they are uploaded."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from urllib.parse import unquote

from mlops.errors import InvalidInput, JournalError, MLOpsError

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}


def keep_copy(path: Path, kept: Path) -> list[Path]:
    """Copy a file or folder into the new folder `kept`; returns the files. Links are followed.

    Raises `JournalError` for a full disk and `InvalidInput` for what cannot be read; nothing stays then.
    """
    try:
        kept.mkdir(mode=0o700, parents=True)
        copied = _copy(path, kept / path.name)
        for file in copied:
            _check_name(path, file.relative_to(kept).as_posix())
        return copied
    except BaseException as error:
        shutil.rmtree(kept, ignore_errors=True)
        if isinstance(error, OSError):
            raise _told(path, kept, error) from error
        raise


def full_disk(path: Path, error: OSError) -> JournalError:
    """The error of a journal that cannot be written."""
    problem = error.strerror or str(error)
    return JournalError(path, problem, remedy="Free some space in MLOPS_HOME, or let its owner write there.")


def _copy(path: Path, to: Path) -> list[Path]:
    # Contents alone: a copy that is read-only, as its source may be, could not be removed.
    if not path.is_dir():
        shutil.copyfile(path, to)
        return [to]
    to.mkdir()
    return [copied for each in sorted(path.iterdir()) for copied in _copy(each, to / each.name)]


def _check_name(path: Path, name: str) -> None:
    if unquote(name) != name:  # MLflow decodes a path until nothing changes
        raise InvalidInput(
            "path",
            str(path),
            f"MLflow would store {name!r} as {unquote(name)!r}",
            remedy="Leave `%` and two hexadecimal digits out of the file's name.",
        )


def _told(path: Path, kept: Path, error: OSError) -> MLOpsError:
    if error.errno in _DISK or error.filename == str(kept):
        return full_disk(kept, error)
    return InvalidInput(
        "path",
        str(path),
        f"cannot be copied: {error.strerror or error}",
        remedy="Give a file or folder that can be read, and is not changed meanwhile.",
    )
