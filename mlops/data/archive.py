"""One file in place of very many: each push and pull asks the remote for every file of a folder."""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from mlops.data.paths import check_path
from mlops.data.survey import survey
from mlops.entities import DataCheck
from mlops.errors import DataError, InvalidInput

SUFFIX = ".tar"


def pack(
    project: str, root: Path, path: str, check: Callable[[], Sequence[DataCheck]] = tuple
) -> tuple[str, tuple[DataCheck, ...]]:
    """Write the folder `path` into `<path>.tar`, at once or not at all; returns that path, and what `check`
    found of the folder, which may raise to refuse it.

    The same content gives the same archive, byte for byte: names in order, without times and owners. It is
    not compressed, so that DVC's hash and a reader need no second pass. Raises `DataNotFound`, `InvalidInput`
    for a file and for links, and for a `<path>.tar` that is something else; `DataChanging` for what changes
    meanwhile.
    """
    plain = check_path(root, path)
    found = survey(project, root, plain)
    if not (root / plain).is_dir():
        raise InvalidInput("path", path, "is a file", remedy="Add it as it is; archives are for folders.")
    target = root / (plain + SUFFIX)
    if target.exists() and not target.with_name(f"{target.name}.dvc").exists():
        raise InvalidInput(
            "path",
            path,
            f"would overwrite {plain}{SUFFIX}, which is no version",
            remedy="Move that file away.",
        )
    checks = tuple(check())
    found.check_quiet()
    part = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT, dereference=True) as archive:
            for name in sorted(found.files):
                member = archive.gettarinfo(str(root / name), arcname=_below(plain, name))
                with (root / name).open("rb") as content:
                    archive.addfile(_anonymous(member), content)
        found.check_unchanged()
        part.replace(target)
    except OSError as error:
        raise DataError(
            f"{target} could not be written: {error}",
            remedy="Free some space on the disk, then try again.",
            project=project,
            path=path,
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return plain + SUFFIX, checks


def _below(folder: str, name: str) -> str:
    return f"{Path(folder).name}/{name.removeprefix(folder + '/')}"


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
