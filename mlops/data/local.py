"""Data versions as copies by content in a folder: for tests and trials, without DVC or git."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.data.paths import check_content, check_path
from mlops.entities import DataVersion
from mlops.errors import DataError, DataNotFound

if TYPE_CHECKING:
    from mlops.data.base import DataStore

_FOLDER = ".mlops-data"


class LocalStore:
    """The data of one project: files by their MD5 in a local cache and in `remote`; thread-safe."""

    def __init__(self, *, project: str, root: Path, remote: str) -> None:
        """`remote` is a folder."""
        self.project = project
        self._root = root.absolute()
        self._remote = Path(remote)
        self._cache = self._root / _FOLDER / "cache"
        self._index = self._root / _FOLDER / "index.json"
        self._lock = threading.RLock()

    def prepare(self) -> None:
        """See `DataStore.prepare`."""
        self._cache.mkdir(parents=True, exist_ok=True)
        self._remote.mkdir(parents=True, exist_ok=True)

    def add(self, path: str) -> DataVersion:
        """See `DataStore.add`."""
        plain = check_path(self._root, path)
        check_content(self.project, self._root, plain)
        with self._lock:
            target = self._root / plain
            listed = sorted(p for p in target.rglob("*") if p.is_file()) if target.is_dir() else [target]
            files = {file.relative_to(self._root).as_posix(): _md5(file) for file in listed}
            for name, digest in files.items():
                _copy(self._root / name, self._cache / digest)
            index = self._read()
            index[plain] = {"files": files, "folder": target.is_dir(), "size": _size(listed)}
            self._index.write_text(json.dumps(index))
        return self.version(plain)

    def push(self, path: str | None = None) -> int:
        """See `DataStore.push`."""
        with self._lock:
            lacking = [d for d in self._digests(path) if not (self._remote / d).exists()]
            for digest in lacking:
                _copy(self._cache / digest, self._remote / digest)
        return len(lacking)

    def pull(self, path: str | None = None) -> int:
        """See `DataStore.pull`."""
        with self._lock:
            lacking = [d for d in self._digests(path) if not (self._cache / d).exists()]
            for digest in lacking:
                _copy(self._remote / digest, self._cache / digest)
            for entry in self._entries(path):
                for name, digest in entry["files"].items():
                    _copy(self._cache / digest, self._root / name)
        return len(lacking)

    def version(self, path: str) -> DataVersion:
        """See `DataStore.version`; git is not looked at."""
        plain = check_path(self._root, path)
        (entry,) = self._entries(plain)
        files: dict[str, str] = entry["files"]
        whole = hashlib.md5(json.dumps(files, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
        return DataVersion(
            project=self.project,
            path=plain,
            hash=f"{whole}.dir" if entry["folder"] else next(iter(files.values())),
            size_bytes=int(entry["size"]),
            files=len(files),
            git_revision=None,
            git_dirty=False,
            remote=str(self._remote),
        )

    def _entries(self, path: str | None) -> list[dict[str, Any]]:
        with self._lock:
            index = self._read()
        if path is None:
            return list(index.values())
        plain = check_path(self._root, path)
        if plain not in index:
            raise DataNotFound(self.project, plain)
        return [index[plain]]

    def _digests(self, path: str | None) -> list[str]:
        return sorted({digest for entry in self._entries(path) for digest in entry["files"].values()})

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._index.read_text()))
        except FileNotFoundError:
            return {}


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise DataError(
            f"{source.name} is in no store", remedy="Push it from where it was added.", hash=source.name
        ) from error


def _md5(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _size(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)


if TYPE_CHECKING:
    _conforms: type[DataStore] = LocalStore
