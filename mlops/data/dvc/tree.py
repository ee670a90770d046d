"""The working tree: what of it is in no version, and putting versions into it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops.data.dvc.objects import Objects
from mlops.data.dvc.outputs import Output
from mlops.errors import DataMissing, DataModified


def place(
    repo: Any, root: Path, objects: Objects, outputs: Sequence[Output], *, project: str, force: bool
) -> None:
    """Link or copy the outputs into the working tree. Raises `DataModified` (unless `force`) and
    `DataMissing` before anything is touched."""
    listings = {output.info: output.path for output in outputs if output.is_folder}
    _check_here(objects, listings, project)
    _check_here(objects, objects.names(outputs), project)
    if not force:
        for output in outputs:
            if lost := unsaved(repo, root, objects, output):
                raise DataModified(project, output.path, lost)
    for output in outputs:
        put(repo, objects, output, root / output.path)


def put(repo: Any, objects: Objects, output: Output, target: Path) -> None:
    """Make `target` exactly the version: by reflink, hard link or copy, as the cache is configured."""
    from dvc.fs.callbacks import TqdmCallback
    from dvc_data.hashfile.checkout import checkout

    target.parent.mkdir(parents=True, exist_ok=True)
    loaded = objects.tree(output) if output.is_folder else objects.cache.get(output.hash)
    if target.is_dir() is not output.is_folder and target.exists():
        remove(target)
    for link in links(target):  # DVC would write through them
        link.unlink()
    fs, ignore = repo.cache.local.fs, _ignore(repo, target)
    with TqdmCallback(desc=f"Placing {output.path}", unit="file") as bar:
        checkout(
            str(target),
            fs,
            loaded,
            objects.cache,
            force=True,
            state=repo.state,
            ignore=ignore,
            progress_callback=bar,
        )


def links(target: Path) -> list[Path]:
    """The symbolic links to folders at and below `target`. DVC does not look behind them."""
    below = [Path(at, name) for at, folders, _ in os.walk(target) for name in folders]
    return [each for each in (target, *below) if each.is_symlink() and each.is_dir()]


def unsaved(repo: Any, root: Path, objects: Objects, output: Output) -> list[str]:
    """The files of the working tree that would be lost: their content is in no version that the cache has, or
    they are ignored by DVC and in a folder that becomes a file."""
    target = root / output.path
    now = contents(repo, objects, target)
    unsound = set(objects.unsound(set(now.values())))
    lost = {"/".join((output.path, *key)) for key, info in now.items() if info in unsound}
    lost |= {each.relative_to(root).as_posix() for each in links(target)}
    if target.is_dir() and not output.is_folder:
        seen = {"/".join((output.path, *key)) for key in now}
        below = (each.relative_to(root).as_posix() for each in target.rglob("*") if not each.is_dir())
        lost |= set(below) - seen
    return sorted(lost)


def contents(repo: Any, objects: Objects, target: Path) -> dict[tuple[str, ...], Any]:
    """What lies at `target`, below it by parts of the path."""
    found = _built(repo, objects, target)
    if found is None:
        return {}
    return {key: info for key, _, info in found} if found.hash_info.isdir else {(): found.hash_info}


def hash_of(repo: Any, objects: Objects, target: Path) -> str | None:
    """The content hash of what lies at `target`; None where nothing does."""
    found = _built(repo, objects, target)
    return None if found is None else str(found.hash_info.value)


def _built(repo: Any, objects: Objects, target: Path) -> Any:
    """DVC's hashes; of files that did not change, as it knows them."""
    from dvc_data.hashfile.build import build

    if not target.exists():
        return None
    ignore = _ignore(repo, target)
    return build(objects.cache, str(target), objects.cache.fs, "md5", dry_run=True, ignore=ignore)[2]


def _ignore(repo: Any, target: Path) -> Any:
    """What says which files are not data. DVC ignores all below `.dvc`, where views lie."""
    return None if ".dvc" in target.parts else repo.dvcignore


def protect(folder: Path) -> None:
    """Make the files below read-only. Hard links to the cache are; a reflink or a copy is not."""
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(file.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def remove(target: Path) -> None:
    """Remove a file or folder, read-only ones too."""
    if target.is_dir() and not target.is_symlink():
        for folder in (target, *(each for each in target.rglob("*") if each.is_dir())):
            folder.chmod(folder.stat().st_mode | stat.S_IRWXU)
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _check_here(objects: Objects, names: dict[Any, str], project: str) -> None:
    if absent := objects.unsound(names):
        raise DataMissing(project, None, sorted(names[info] for info in absent))
