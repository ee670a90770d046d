"""Data versions as copies by content in a folder: for tests and trials, without DVC or git."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from mlops.data import git
from mlops.data.paths import check_path
from mlops.data.survey import Survey, survey
from mlops.entities import DataCheck, DataState, DataStatus, DataTransfer, DataVersion
from mlops.errors import (
    DataCorrupted,
    DataError,
    DataMissing,
    DataModified,
    DataNotFound,
    InvalidInput,
    RevisionNotFound,
)

if TYPE_CHECKING:
    from mlops.data.base import DataStore


@dataclass(frozen=True)
class _Entry:
    """One version of a data path, as the index keeps it."""

    version: DataVersion
    files: dict[str, str]
    """Path below the data path (empty of a file) -> MD5."""

    @classmethod
    def from_json(cls, version: dict[str, Any], files: dict[str, str]) -> _Entry:
        checks = tuple(DataCheck(**each) for each in version["checks"])
        return cls(DataVersion(**{**version, "checks": checks}), files)


class LocalStore:
    """See `DataStore`. Objects lie by their MD5 in a cache below the project's folder, and in `remote`."""

    def __init__(
        self,
        *,
        project: str,
        root: Path,
        remote: str,
        remote_options: Mapping[str, str] | None = None,
        lock_wait_s: float = 60.0,
    ) -> None:
        """`remote` is a folder. The last two are taken as `DvcStore` takes them, and ignored: a folder has no
        options, and the lock is waited for until it is free."""
        self.project = project
        self._root = root.absolute()
        self._remote = Path(remote)
        self._home = self._root / ".mlops-data"
        self._cache = self._home / "cache"
        self._turn = threading.Lock()

    def prepare(self) -> None:
        """See `DataStore.prepare`."""
        with self._told():
            self._cache.mkdir(parents=True, exist_ok=True)
            self._remote.mkdir(parents=True, exist_ok=True)

    # -- versions -------------------------------------------------------------------------------

    def add(self, path: str, check: Callable[[], Sequence[DataCheck]] = tuple) -> DataVersion:
        """See `DataStore.add`."""
        found = survey(self.project, self._root, check_path(self._root, path))
        checks = tuple(check())
        found.check_quiet()
        with self._locked():
            for known in self._index().keys() - {found.path}:
                if PurePath(known).is_relative_to(found.path) or PurePath(found.path).is_relative_to(known):
                    raise InvalidInput("path", found.path, f"overlaps with {known}", remedy=f"Add {known}.")
            try:
                entry = self._kept(found, checks)
            finally:  # also in place of a file that is not there any more
                found.check_unchanged()
            self._record([entry])
        return entry.version

    def _kept(self, found: Survey, checks: tuple[DataCheck, ...]) -> _Entry:
        """Copy the files into the cache. What is hashed is the copy, and the hash is DVC's."""
        files = {}
        for name in sorted(found.files):
            part = self._cache / "part"
            shutil.copyfile(self._root / name, part)
            files[name[len(found.path) + 1 :]] = digest = _md5(part)
            part.replace(self._cache / digest)
        digest = files.get("", "")
        if not digest:
            listing = json.dumps([{"md5": each, "relpath": key} for key, each in files.items()])
            digest = hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
            (self._cache / digest).write_text(listing)
        size, remote = found.size_bytes, str(self._remote)
        return _Entry(
            DataVersion(self.project, found.path, digest, size, len(files), None, False, remote, checks),
            files,
        )

    def version(self, path: str, rev: str | None = None) -> DataVersion:
        """See `DataStore.version`; git is not looked at."""
        with self._locked():
            return self._find(path, rev)[0].version

    # -- the remote -----------------------------------------------------------------------------

    def push(self, path: str | None = None) -> DataTransfer:
        """See `DataStore.push`."""
        with self._locked():
            return self._moved(self._find(path), self._cache, self._remote)

    def pull(self, path: str | None = None, rev: str | None = None, *, force: bool = False) -> DataTransfer:
        """See `DataStore.pull`."""
        with self._locked():
            found = self._find(path, rev)
            moved = self._moved(found, self._remote, self._cache)
            self._place(found, rev, force)
        return moved

    def _moved(self, found: Sequence[_Entry], source: Path, target: Path) -> DataTransfer:
        """Copy the objects that `target` lacks; a damaged one is not there, and is not taken."""
        names = _objects(found)
        lacking = {digest for digest in names if not _sound(target / digest)}
        absent = {digest for digest in lacking if not (source / digest).exists()}
        damaged = {digest for digest in lacking - absent if not _sound(source / digest)}
        moved = sorted(lacking - absent - damaged)
        for digest in moved:
            part = target / f"part-{uuid.uuid4().hex}"
            shutil.copyfile(source / digest, part)
            part.replace(target / digest)
        if damaged and source == self._remote:
            named = sorted(f"{names[digest]} ({digest})" for digest in damaged)
            raise DataCorrupted(self.project, str(self._remote), named)
        if absent or damaged:
            named = sorted(names[digest] for digest in absent | damaged)
            raise DataMissing(self.project, str(self._remote), named)
        return DataTransfer(len(moved), sum((target / digest).stat().st_size for digest in moved))

    # -- the working tree -----------------------------------------------------------------------

    def checkout(
        self, rev: str | None = None, path: str | None = None, *, force: bool = False
    ) -> list[DataVersion]:
        """See `DataStore.checkout`."""
        with self._locked():
            found = self._find(path, rev)
            self._place(found, rev, force)
        return [entry.version for entry in found]

    def _place(self, found: Sequence[_Entry], rev: str | None, force: bool) -> None:
        if absent := {name for digest, name in _objects(found).items() if not self._cached(digest)}:
            raise DataMissing(self.project, None, sorted(absent))
        there = {entry.version.path: _contents(self._root / entry.version.path) for entry in found}
        for path, files in () if force else there.items():
            if lost := [_name(path, key) for key, digest in files.items() if not self._cached(digest)]:
                raise DataModified(self.project, path, sorted(lost))
        for entry in found:
            if there[entry.version.path] != entry.files:
                self._put(entry, self._root / entry.version.path)
        if rev is not None:
            self._record(found)

    def _put(self, entry: _Entry, target: Path, mode: int = 0o644) -> None:
        """Make `target` exactly the version; it appears whole."""
        part = self._home / "part"
        _remove(part)
        for key, digest in entry.files.items():
            (part / key).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._cache / digest, part / key)
            (part / key).chmod(mode)
        _remove(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.rename(target)

    def status(self, path: str | None = None, *, remote: bool = False) -> list[DataStatus]:
        """See `DataStore.status`."""
        with self._locked():
            return [self._status(entry, remote) for entry in self._find(path)]

    def _status(self, entry: _Entry, remote: bool) -> DataStatus:
        then, now = entry.files, _contents(self._root / entry.version.path)
        objects = set(then.values())
        return DataStatus(
            path=entry.version.path,
            hash=entry.version.hash,
            state=DataState.UNCHANGED if now == then else DataState.MODIFIED if now else DataState.MISSING,
            added=len(now.keys() - then.keys()),
            modified=sum(now[key] != then[key] for key in now.keys() & then.keys()),
            deleted=len(then.keys() - now.keys()),
            uncached=sum(not self._cached(each) for each in objects),
            unpushed=sum(not (self._remote / each).exists() for each in objects) if remote else None,
        )

    def view(self, path: str, rev: str | None = None) -> tuple[Path, DataVersion]:
        """See `DataStore.view`: below `.mlops-data/versions`."""
        with self._locked():
            (entry,) = found = self._find(path, rev)
            place = self._home / "versions" / entry.version.hash / Path(entry.version.path).name
            if _contents(place) != entry.files:
                self._moved(found, self._remote, self._cache)
                self._put(entry, place, mode=0o444)
        return place, entry.version

    # -- the index ------------------------------------------------------------------------------

    def _find(self, path: str | None, rev: str | None = None) -> list[_Entry]:
        """The recorded versions, or that of `path`, or an earlier one of it by its hash."""
        plain = None if path is None else check_path(self._root, path)
        index = self._index()
        if rev is None:
            if plain is not None and plain not in index:
                raise DataNotFound(self.project, plain)
            return [
                list(index[each].values())[-1]
                for each in index
                if plain in (None, check_path(self._root, each))
            ]
        if not git.is_content_hash(rev):
            raise RevisionNotFound(self.project, git.check_revision(rev))
        if plain is None:
            raise InvalidInput("rev", rev, "is the hash of one path's version", remedy="Name the path, too.")
        if rev not in index.get(plain, {}):
            raise RevisionNotFound(self.project, rev, plain)
        return [index[plain][rev]]

    def _record(self, entries: Sequence[_Entry]) -> None:
        """Put versions at the end of their paths' histories, where the recorded one is."""
        index = self._index()
        for entry in entries:
            history = index.setdefault(entry.version.path, {})
            history.pop(entry.version.hash, None)
            history[entry.version.hash] = entry
        part = self._home / "index.part"
        part.write_text(json.dumps(index, default=asdict))
        part.replace(self._home / "index.json")

    def _index(self) -> dict[str, dict[str, _Entry]]:
        """By path and hash."""
        try:
            found = json.loads((self._home / "index.json").read_text())
        except FileNotFoundError:
            return {}
        return {path: {key: _Entry.from_json(**found[path][key]) for key in found[path]} for path in found}

    def _cached(self, digest: str) -> bool:
        return _sound(self._cache / digest)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One thread of one process at a time."""
        with self._told(), self._turn, (self._home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"the data of project {self.project!r} cannot be kept: {type(error).__name__}: {error}",
                remedy="Run `efficientai-toolkit mlops:register` in its folder; check the disk, too.",
                project=self.project,
            ) from error


def _objects(found: Sequence[_Entry]) -> dict[str, str]:
    """Their files and one listing for each folder, with a path that each stands for."""
    names = {}
    for entry in found:
        names[entry.version.hash] = entry.version.path
        names |= {digest: _name(entry.version.path, key) for key, digest in entry.files.items()}
    return names


def _contents(target: Path) -> dict[str, str]:
    """What lies at `target`, as `_Entry.files` has it."""
    if target.is_file():
        return {"": _md5(target)}
    files = (each for each in target.rglob("*") if each.is_file() or each.is_symlink())
    return {each.relative_to(target).as_posix(): _md5(each) for each in files}


def _sound(place: Path) -> bool:
    """Whether the object is there, with the content that its name says."""
    return place.is_file() and _md5(place) == place.stem


def _name(path: str, key: str) -> str:
    return f"{path}/{key}" if key else path


def _md5(file: Path) -> str:
    if not file.is_file():  # a link to a folder
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _remove(target: Path) -> None:
    shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


if TYPE_CHECKING:
    _conforms: type[DataStore] = LocalStore
