"""Several processes and threads at one project's data at once, and processes that are killed at it."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops.data.dvc.store import DvcStore

PROCESSES, THREADS = 10, 8

# Adds paths as soon as it is told to, and pushes what its third argument names.
ADD_AND_PUSH = """
import sys
from pathlib import Path

import dvc.repo
from mlops.data.dvc.store import DvcStore

root, remote, pushed, paths = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
store = DvcStore(project=root.name, root=root, remote=remote)
print("ready", flush=True)
sys.stdin.readline()
for path in paths:
    print(store.add(path).hash, flush=True)
store.push(pushed or None)
"""

# Adds the folder `d`, and dies by its own hand at the moment that its last argument names.
DYING_ADD = """
import os, signal, sys
from pathlib import Path

import dvc.repo
from mlops.data.dvc.store import DvcStore

root, remote, moment = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
store = DvcStore(project="a", root=root, remote=remote)
cache, data = str(root / ".dvc/cache/files"), str(root / "d")
seen = 0

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def watch(event, arguments):
    global seen
    names = [os.fsdecode(each) for each in arguments if isinstance(each, str | bytes)]
    if moment == "hashing":
        seen += event == "open" and names[0].startswith(data + "/")
    elif moment == "keeping":  # by a copy, which is renamed, or by a clone, whose mode is set
        seen += event in ("os.rename", "os.chmod") and any(each.startswith(cache) for each in names)
    elif moment == "recording" and event == "open" and "d.dvc" in names[0] and "w" in names[1]:
        sys.setprofile(die)  # as soon as it is open, and empty
    if seen == 100:
        seen += 1  # the signal is an event, too
        die()

sys.addaudithook(watch)
store.add("d")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project in a folder of its git repository."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")
    folder = tmp_path / "repository" / "project"
    folder.mkdir(parents=True)
    opened(folder).prepare()
    return folder


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def opened(root: Path) -> DvcStore:
    return DvcStore(project="a", root=root, remote=str(root.parents[1] / "remotes/a"))


def make(root: Path, count: int) -> list[str]:
    """As many paths, in one folder: every other one a folder of files, of which one is in all of them."""
    paths = [f"data/p{number}" for number in range(count)]
    for number, path in enumerate(paths):
        place = root / path
        if number % 2:
            place.mkdir(parents=True)
            for name in ("x", "y"):
                (place / name).write_bytes(os.urandom(1000))
            (place / "same").write_bytes(b"in every folder")
        else:
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(os.urandom(1000))
    return paths


def check_all(root: Path, hashes: dict[str, str]) -> None:
    """That everything was recorded, staged, ignored and pushed."""
    for path, hash_ in hashes.items():
        assert opened(root).version(path).hash == hash_
    ignored = (root / "data/.gitignore").read_text().split()
    assert sorted(ignored) == sorted(f"/{Path(path).name}" for path in hashes)
    staged = {line.partition("project/")[2] for line in git(root.parents[1], "ls-files").splitlines()}
    assert staged >= {"data/.gitignore", *(f"{path}.dvc" for path in hashes)}
    # The index has what the files say, and nothing lies about beside it.
    assert git(root.parents[1], "diff", "--name-only") == ""
    assert "??" not in git(root, "status", "--porcelain", ".")

    git(root, "commit", "-q", "-m", "data")
    clone = root.parents[1] / "clone"
    git(root.parents[1], "clone", "-q", str(root.parents[1]), str(clone))
    other = DvcStore(
        project="a", root=clone / "repository/project", remote=str(root.parents[1] / "remotes/a")
    )
    other.prepare()
    other.pull()
    for path in hashes:
        assert contents(clone / "repository/project" / path) == contents(root / path)


def contents(place: Path) -> dict[str, bytes]:
    files = [each for each in place.rglob("*") if each.is_file()] if place.is_dir() else [place]
    return {each.relative_to(place).as_posix(): each.read_bytes() for each in files}


def damaged(objects: Path) -> Iterator[str]:
    """The objects of a cache or a remote with another content than their name says."""
    for each in objects.glob("files/md5/??/*"):
        if re.fullmatch(r"[0-9a-f]{30}(\.dir)?", each.name):
            actual = hashlib.md5(each.read_bytes(), usedforsecurity=False).hexdigest()
            if actual != f"{each.parent.name}{each.name}".removesuffix(".dir"):
                yield each.name


# -- at once ----------------------------------------------------------------------------------------


def at_once(*arguments: tuple[object, ...]) -> list[str]:
    """What processes print that add and push at once; all must succeed."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ADD_AND_PUSH, *map(str, each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each in arguments
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=120) for process in started]
    assert [(process.returncode, each[1]) for process, each in zip(started, told, strict=True)] == [
        (0, "")
    ] * len(started)
    return [out for out, _ in told]


def test_processes_that_add_and_push_at_once_all_succeed(root: Path) -> None:
    paths = make(root, PROCESSES)
    remote = root.parents[1] / "remotes/a"
    # Every third one pushes all that is recorded, while others are recording.
    told = at_once(
        *((root, remote, "" if number % 3 == 0 else path, path) for number, path in enumerate(paths))
    )
    check_all(root, {path: out.strip() for path, out in zip(paths, told, strict=True)})


def test_what_projects_of_one_repository_stage_at_once_is_all_staged(root: Path) -> None:
    remotes, names = root.parents[1] / "remotes", [f"f{number}" for number in range(8)]
    projects = [root.with_name(f"project-{number}") for number in range(4)]
    for project in projects:
        DvcStore(project=project.name, root=project, remote=str(remotes / project.name)).prepare()
        for name in names:
            (project / name).write_bytes(os.urandom(10))
    at_once(*((project, remotes / project.name, "f0", *names) for project in projects))
    staged = set(git(root.parent, "ls-files").splitlines())
    assert staged >= {f"{project.name}/{name}.dvc" for project in projects for name in names}
    assert git(root.parent, "diff", "--name-only") == ""


@pytest.mark.parametrize("shared", [True, False], ids=["one store", "a store each"])
def test_threads_that_add_and_push_at_once_all_succeed(root: Path, shared: bool) -> None:
    paths = make(root, THREADS)
    one = opened(root)

    def work(path: str) -> str:
        store = one if shared else opened(root)
        version = store.add(path)
        store.push(path)
        return version.hash

    with ThreadPoolExecutor(THREADS) as threads:
        check_all(root, dict(zip(paths, threads.map(work, paths), strict=True)))


# -- killed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["hashing", "keeping", "recording"])
@pytest.mark.parametrize("again", [False, True], ids=["the first version", "the next version"])
def test_an_add_that_was_killed_leaves_nothing_half_done(root: Path, moment: str, again: bool) -> None:
    store = opened(root)
    (root / "d").mkdir()
    before = None
    if again:
        for number in range(3):
            (root / f"d/old{number}").write_bytes(os.urandom(1000))
        before = store.add("d")
    for number in range(300):
        (root / f"d/f{number:03}").write_bytes(os.urandom(2000))
    command = [sys.executable, "-c", DYING_ADD, str(root), str(root.parents[1] / "remotes/a"), moment]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    kept = len(list((root / ".dvc/cache").glob("files/md5/??/*")))
    if moment == "keeping":
        assert 0 < kept < 300

    if before is None:
        assert not (root / "d.dvc").exists()
    else:
        assert store.version("d").hash == before.hash
        store.status()
    version = store.add("d")
    assert version.files == 300 + (3 if again else 0)
    assert list(damaged(root / ".dvc/cache")) == []
    store.push()
    assert git(root.parents[1], "diff", "--name-only") == ""
    assert "??" not in git(root, "status", "--porcelain", ".")
    view, _ = store.view("d", rev=version.hash)
    assert contents(view) == contents(root / "d")
