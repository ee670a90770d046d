"""What versioning data costs next to DVC's own ways: many files, single ones in a row, a large one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops.data.dvc.store import DvcStore
from tests.bench.result import Comparison, Measure, Result

FILES, FILE_BYTES, LARGE_BYTES = 1300, 150_000, 2**30
ROUNDS, ROWS_OF_FIVE, HASHES, LARGE_ADDS, SINGLE_ADDS = 7, 7, 5, 3, 11
_DVC = Path(sys.executable).with_name("dvc")
_ADD_IN_A_ROW = """
import sys
from pathlib import Path
from mlops.data.dvc.store import DvcStore

root = Path(sys.argv[1])
store = DvcStore(project="bench", root=root, remote=str(root.parent / "remotes/bench"))
for path in sys.argv[2:]:
    store.add(path)
"""


def run() -> Iterator[Result]:
    """Each kind in rounds, ours and the peer in turn, in projects of their own that are removed."""
    with _project() as root:  # imports, and whatever is made once
        _write(root / "f", 1)
        _ours(root, "f")
    with _project() as root:
        _write(root / "f", 1)
        _dvcs(root, "f")
    yield from _many_files()
    yield from _in_a_row()
    yield from _large_file()
    yield from _single_file()


def _many_files() -> Iterator[Result]:
    ours, peer = [], []
    for number in range(ROUNDS):
        turns = [(ours, _ours), (peer, _dvcs)]
        for kept, work in turns if number % 2 else reversed(turns):
            with _project(_memory()) as root:
                for name in range(FILES):
                    _write(root / f"d/{name}", FILE_BYTES)
                kept.append(work(root, "d"))
    name, dvc = f"{FILES} files of {FILE_BYTES // 1000} kB", "DVC's API, repository opened"
    for what, seconds in (
        ("add", lambda pair: pair[0]),
        ("push to a folder", lambda pair: pair[1]),
        ("add and push", sum),
    ):
        yield Comparison(f"{name}: {what}", "s", [*map(seconds, ours)], dvc, [*map(seconds, peer)], 1.1)


def _ours(root: Path, path: str) -> tuple[float, float]:
    """The seconds of add and push."""
    store = _store(root)
    return _seconds(lambda: store.add(path)), _seconds(lambda: store.push(path))


def _dvcs(root: Path, path: str) -> tuple[float, float]:
    from dvc.repo import Repo

    target = str(root / path)
    with Repo(str(root)) as repo:
        return _seconds(lambda: repo.add(target)), _seconds(lambda: repo.push(target))


def _in_a_row() -> Iterator[Result]:
    paths = [f"f{number}" for number in range(5)]
    ours, peer = [], []
    for _ in range(ROWS_OF_FIVE):
        for kept, commands in (
            (ours, lambda root: [[sys.executable, "-c", _ADD_IN_A_ROW, str(root), *paths]]),
            (peer, lambda root: [[str(_DVC), "add", "--quiet", path] for path in paths]),
        ):
            with _project() as root:
                for path in paths:
                    _write(root / path, 1000)
                kept.append(sum(_seconds(_command(each, root)) for each in commands(root)))
    yield Comparison(
        "5 small adds, in one process, its start and imports included",
        "s",
        ours,
        "5 × dvc add",
        peer,
        0.667,
    )


def _command(words: list[str], root: Path) -> Callable[[], object]:
    return lambda: subprocess.run(words, cwd=root, check=True, capture_output=True)


def _large_file() -> Iterator[Result]:
    from dvc_data.hashfile.hash import hash_file
    from dvc_objects.fs import localfs

    with _project() as root:
        file = root / "large"
        _write(file, LARGE_BYTES)
        ours, peer, adds = [], [], []
        for _ in range(HASHES):
            ours.append(_seconds(lambda: hash_file(str(file), localfs, "md5", info=localfs.info(str(file)))))
            peer.append(_seconds(lambda: _md5(file)))
        for number in range(LARGE_ADDS):
            with file.open("r+b") as opened:
                opened.write(number.to_bytes(4))
            adds.append(_seconds(lambda: _store(root).add("large")))
            shutil.rmtree(root / ".dvc/cache")
    megabytes = LARGE_BYTES / 1e6
    yield Comparison(
        "hash of a file of 1 GiB, as add takes it",
        "MB/s",
        [megabytes / each for each in ours],
        "hashlib.md5",
        [megabytes / each for each in peer],
        0.8,
        at_least=True,
    )
    yield Measure("a file of 1 GiB: add, with its copy into the cache", "s", adds, None)


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _single_file() -> Iterator[Result]:
    times = []
    with _project() as root:
        store = _store(root)
        for number in range(SINGLE_ADDS):
            _write(root / f"f{number}", 1_000_000)
            times.append(_seconds(lambda path=f"f{number}": store.add(path)))
    yield Measure("a file of 1 MB: add", "s", times, 1)


@contextmanager
def _project(where: Path | None = None) -> Iterator[Path]:
    """A prepared project in a git repository of its own; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="bench-data-", dir=where))
    try:
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        _store(folder / "project").prepare()
        yield folder / "project"
    finally:
        shutil.rmtree(folder)


def _memory() -> Path | None:
    """Where files lie in memory, so that a disk's waits, which differ several times over, do not hide what is
    compared; None where there is no such place, or too little of it."""
    place = Path("/dev/shm")
    return place if place.is_dir() and shutil.disk_usage(place).free > 4e9 else None


def _store(root: Path) -> DvcStore:
    return DvcStore(project="bench", root=root, remote=str(root.parent / "remotes/bench"))


def _write(file: Path, size: int) -> None:
    file.parent.mkdir(exist_ok=True)
    with file.open("wb") as opened:
        for begun in range(0, size, 2**24):
            opened.write(os.urandom(min(2**24, size - begun)))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
