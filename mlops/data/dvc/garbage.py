"""What nothing needs of a cache that one or several projects share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.data import git
from mlops.data.dvc import tree
from mlops.data.dvc.objects import Objects
from mlops.data.dvc.outputs import Output
from mlops.data.dvc.session import DvcSession
from mlops.data.dvc.store import VIEWS, DvcStore
from mlops.entities import DataGarbage
from mlops.errors import DataError, DataMissing, MLOpsError

FRESH_S = 86400.0
"""A version that was brought here for `use_data` within a day is needed: its run may be yet to come."""


@dataclass
class _Found:
    """One cache."""

    projects: list[str] = field(default_factory=list)
    roots: list[Path] = field(default_factory=list)
    objects: list[Objects] = field(default_factory=list)
    needed: set[str] = field(default_factory=set)


def collect(
    stores: Sequence[DvcStore], used_by_runs: Mapping[str, Iterable[str]], *, remove: bool
) -> list[DataGarbage]:
    """What each cache of these projects holds that none of them needs: not its working tree, not a commit
    that any git ref names, not a run. `used_by_runs` has the hashes of the versions that a project's runs
    used. With `remove` it is removed.

    Every project that uses a cache must be among them. Their locks are held meanwhile. Raises `DataError`,
    before anything is removed, when what a project needs cannot be told.
    """
    try:
        return _collected(stores, used_by_runs, remove)
    except MLOpsError:
        raise
    except Exception as error:
        raise DataError(
            f"collecting garbage failed: {type(error).__name__}: {error}",
            remedy="Check the caches' disk and permissions, then try again; what is needed is kept.",
        ) from error


def _collected(
    stores: Sequence[DvcStore], used_by_runs: Mapping[str, Iterable[str]], remove: bool
) -> list[DataGarbage]:
    with ExitStack() as opened:
        caches: dict[str, _Found] = {}
        for store in stores:
            session = store.session
            repo = opened.enter_context(session.held("collecting garbage among the"))
            objects = Objects(session, repo)
            found = caches.setdefault(os.path.realpath(objects.cache.path), _Found())
            found.projects.append(store.project)
            found.roots.append(session.root)
            found.objects.append(objects)
            found.needed |= _needed(session, repo, objects, used_by_runs.get(store.project, ()))
        return [_judged(path, found, remove) for path, found in sorted(caches.items())]


# -- what is needed -----------------------------------------------------------------------------


def _needed(session: DvcSession, repo: Any, objects: Objects, used: Iterable[str]) -> set[str]:
    """The hashes of all objects that a project needs. Whatever looks like one in the .dvc files of git's
    commits and index counts: too much is kept rather than too little."""
    from dvc_data.hashfile.hash_info import HashInfo

    hashes = {each for each in used if git.is_content_hash(each)}
    hashes |= _recorded(session, repo)
    hashes |= git.hashes(session.root, git.tips(session.root))
    hashes |= {view.name for view in _views(session.root) if _is_fresh(view)}
    needed = set(hashes)
    for each in hashes:
        if each.endswith(".dir"):
            needed |= {str(info.value) for info in _listed(session, objects, HashInfo("md5", each))}
    return needed


def _recorded(session: DvcSession, repo: Any) -> set[str]:
    """What the working tree records, by DVC, which knows every way to record it."""
    try:
        found = {str(out.hash_info.value) for out in repo.index.outs if out.use_cache and out.hash_info}
    except Exception as error:
        raise DataError(
            f"what the working tree of project {session.project!r} records cannot be read: {error}",
            remedy="Mend its .dvc files; nothing was removed.",
            project=session.project,
        ) from error
    return {each for each in found if git.is_content_hash(each)}


def _listed(session: DvcSession, objects: Objects, info: Any) -> Iterable[Any]:
    """The files of a folder. Its listing is fetched where the cache lacks it; where it is nowhere, nothing of
    the folder can be reached any more. Raises `DataError` when the remote is not there to be asked."""
    output = Output(path=str(info.value), info=info, size_bytes=0, files=0)
    try:
        objects.fetch_listings([output])
    except DataMissing as error:
        remote = objects.remote
        if not remote.fs.exists(remote.path):
            raise DataError(
                f"which files {info.value} of project {session.project!r} has is not known: the cache lacks"
                f" its listing, and the remote {session.remote} is not there",
                remedy="Make the remote reachable; nothing was removed.",
                project=session.project,
            ) from error
        return ()
    return objects.entries(output).values()


# -- what is not --------------------------------------------------------------------------------


def _judged(path: str, found: _Found, remove: bool) -> DataGarbage:
    cache = found.objects[0].cache
    garbage = [oid for oid in cache.all() if oid not in found.needed]
    places = [Path(cache.oid_to_path(oid)) for oid in garbage]
    size = sum(place.stat().st_size for place in places)
    views = [view for root in found.roots for view in _views(root) if view.name not in found.needed]
    unpushed = _unpushed(found, garbage)
    if remove:
        for view in views:
            tree.remove(view)
        for place in places:
            place.unlink(missing_ok=True)
    return DataGarbage(
        cache=path,
        projects=tuple(sorted(found.projects)),
        objects=len(garbage),
        size_bytes=size,
        unpushed=unpushed,
        views=len(views),
        removed=remove,
    )


def _views(root: Path) -> Iterator[Path]:
    """The views of versions; by their names, since the folder may be anything's by a link."""
    folder = root / VIEWS
    for view in folder.iterdir() if folder.is_dir() else ():
        if git.is_content_hash(view.name) and not view.is_symlink():
            yield view


def _is_fresh(view: Path) -> bool:
    """Whether somebody may be about to use it in a run."""
    return time.time() - view.stat().st_mtime < FRESH_S


def _unpushed(found: _Found, garbage: list[str]) -> int | None:
    """How many of the objects are on no project's remote; None when one does not answer."""
    from dvc_data.hashfile.hash_info import HashInfo

    lacking = [HashInfo("md5", oid) for oid in garbage]
    try:
        for objects in found.objects:
            lacking = objects.not_on_remote(lacking)
    except MLOpsError:
        raise
    except Exception:  # noqa: BLE001 - each storage has errors of its own
        return None
    return len(lacking)
