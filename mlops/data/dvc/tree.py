"""The working tree: what of it is in no version, and putting versions into it."""

from __future__ import annotations

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
    absent = [
        name
        for info, name in objects.names(_whole(objects, outputs, project)).items()
        if not objects.cached(info)
    ]
    if absent:
        raise DataMissing(project, None, sorted(absent))
    if not force:
        for output in outputs:
            if lost := unsaved(repo, root, objects, output):
                raise DataModified(project, output.path, lost)
    for output in outputs:
        put(repo, objects, output, root / output.path)


def put(repo: Any, objects: Objects, output: Output, target: Path) -> None:
    """Make `target` exactly the version: by reflink, hard link or copy, as the cache is configured."""
    from dvc_data.hashfile.checkout import checkout

    target.parent.mkdir(parents=True, exist_ok=True)
    loaded = objects.tree(output) if output.is_folder else objects.cache.get(output.hash)
    if target.is_dir() is not output.is_folder and target.exists():
        remove(target)
    checkout(str(target), repo.cache.local.fs, loaded, objects.cache, force=True, state=repo.state)


def unsaved(repo: Any, root: Path, objects: Objects, output: Output) -> list[str]:
    """The files of the working tree whose content is in no version that the cache has."""
    now = contents(repo, objects, root / output.path)
    return sorted("/".join((output.path, *key)) for key, info in now.items() if not objects.cached(info))


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
    # DVC ignores all below `.dvc`, where views lie.
    ignore = None if ".dvc" in target.parts else repo.dvcignore
    return build(objects.cache, str(target), objects.cache.fs, "md5", dry_run=True, ignore=ignore)[2]


def remove(target: Path) -> None:
    """Remove a file or folder, read-only ones too."""
    if target.is_dir() and not target.is_symlink():
        for folder in (target, *(each for each in target.rglob("*") if each.is_dir())):
            folder.chmod(folder.stat().st_mode | stat.S_IRWXU)
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _whole(objects: Objects, outputs: Sequence[Output], project: str) -> Sequence[Output]:
    absent = [output.path for output in outputs if not objects.cached(output.info)]
    if absent:
        raise DataMissing(project, None, absent)
    return outputs
