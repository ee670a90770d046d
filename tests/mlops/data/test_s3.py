"""DVC over S3, by moto's server on loopback; and remotes, in folders too, that fail or are damaged."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from mlops.data.dvc.session import install_hint
from mlops.data.dvc.store import DvcStore
from mlops.errors import DataCorrupted, DataError, DataMissing, InvalidInput, NotFound

KEY_ID, SECRET = "AKIA-OF-THE-TEST", "secret-of-the-test"
MANY, KILLED_AT = 120, 60

# Pushes, and dies by its own hand when it has begun with so many files of the cache.
DYING_PUSH = """
import os, signal, sys
from pathlib import Path
from mlops.data.dvc.store import DvcStore

root, remote, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
cache, read = str(root / ".dvc/cache/files"), 0

def count(event, arguments):
    global read
    if event == "open" and str(arguments[0]).startswith(cache) and "r" in str(arguments[1]):
        read += 1
        if read == at:
            os.kill(os.getpid(), signal.SIGKILL)

store = DvcStore(project="a", root=root, remote=remote)
sys.addaudithook(count)
store.push()
"""

# Pulls where no file may become larger than 4 MB, which fails as a full disk does.
PULL_WITHOUT_SPACE = """
import resource, signal, sys
from pathlib import Path
from mlops.data.dvc.store import DvcStore

store = DvcStore(project="a", root=Path(sys.argv[1]), remote=sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
try:
    store.pull()
except Exception as error:
    print(type(error).__name__, error)
"""


@dataclass
class Remote:
    """Where a test's stores send to, and what lies there."""

    url: str
    options: dict[str, str]
    names: Callable[[], set[str]]
    """Of the objects, below the remote, with `/`."""
    write: Callable[[str, bytes], None]
    delete: Callable[[str], None]


@dataclass
class Bucket:
    """A bucket of the server; each test has its own."""

    name: str
    client: Any
    options: dict[str, str]

    def remote(self, prefix: str) -> Remote:
        return Remote(
            f"s3://{self.name}/{prefix}",
            self.options,
            lambda: {key.removeprefix(f"{prefix}/") for key in self.keys() if key.startswith(f"{prefix}/")},
            lambda key, content: self.client.put_object(
                Bucket=self.name, Key=f"{prefix}/{key}", Body=content
            ),
            lambda key: self.client.delete_object(Bucket=self.name, Key=f"{prefix}/{key}"),
        )

    def keys(self) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {each["Key"] for page in pages for each in page.get("Contents", [])}

    def etag(self, key: str) -> str:
        return str(self.client.head_object(Bucket=self.name, Key=key)["ETag"]).strip('"')


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_url: str) -> Iterator[Bucket]:
    client = boto3.client(
        "s3",
        endpoint_url=s3_url,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    name = f"bucket-{uuid4()}"
    client.create_bucket(Bucket=name)
    options = {"endpointurl": s3_url, "access_key_id": KEY_ID, "secret_access_key": SECRET}
    yield Bucket(name, client, options)
    client.close()


@pytest.fixture(params=["s3", "folder"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    if request.param == "s3":
        made: Bucket = request.getfixturevalue("bucket")
        return made.remote("some/prefix")
    folder = tmp_path / "remotes/a"

    def write(key: str, content: bytes) -> None:
        (folder / key).chmod(0o644)
        (folder / key).write_bytes(content)

    return Remote(
        str(folder),
        {},
        lambda: {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()},
        write,
        lambda key: (folder / key).unlink(),
    )


def git(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    return subprocess.run(["git", *who, *words], cwd=folder, check=check, capture_output=True, text=True)


def opened(root: Path, remote: Remote, project: str = "a") -> DvcStore:
    root.mkdir(parents=True, exist_ok=True)
    if git(root, "rev-parse", "--git-dir", check=False).returncode:
        git(root, "init", "-q")
    store = DvcStore(project=project, root=root, remote=remote.url, remote_options=remote.options)
    store.prepare()
    return store


def cloned(root: Path, remote: Remote) -> tuple[Path, DvcStore]:
    """What git has of the project, elsewhere: no data, an empty cache."""
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "data")
    clone = root.with_name(f"{root.name}-clone")
    git(root.parent, "clone", "-q", str(root), str(clone))
    return clone, opened(clone, remote)


def fill(folder: Path, files: int, size: int = 1000) -> dict[str, bytes]:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"f{number:03}.bin").write_bytes(os.urandom(size))
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()
    }


def key_of(hash_: str) -> str:
    return f"files/md5/{hash_[:2]}/{hash_[2:]}"


def md5(content: bytes) -> str:
    import hashlib

    return hashlib.md5(content, usedforsecurity=False).hexdigest()


# -- there and back ---------------------------------------------------------------------------------


def test_what_is_pulled_into_an_empty_tree_and_cache_is_what_was_pushed(
    tmp_path: Path, bucket: Bucket
) -> None:
    root, remote = tmp_path / "p", bucket.remote("a")
    store = opened(root, remote)
    before = fill(root / "d", 5)
    (root / "d/below").mkdir()
    (root / "d/below/two parts ü.bin").write_bytes(os.urandom(1 << 20) * 101)
    before = contents(root / "d")
    (root / "one.bin").write_bytes(b"one")
    version = store.add("d")
    store.add("one.bin")

    sent = store.push()
    assert (sent.objects, sent.size_bytes > version.size_bytes) == (8, True)  # the listing, too
    big = md5(before["below/two parts ü.bin"])
    assert re.fullmatch("[0-9a-f]{32}-[0-9]+", bucket.etag(f"a/{key_of(big)}"))  # sent in parts
    assert store.push().objects == 0

    shutil.rmtree(root / "d")
    (root / "one.bin").unlink()
    shutil.rmtree(root / ".dvc/cache")
    pulled = store.pull()
    assert (pulled.objects, pulled.size_bytes) == (sent.objects, sent.size_bytes)
    assert contents(root / "d") == before
    assert (root / "one.bin").read_bytes() == b"one"
    assert store.pull().objects == 0


def test_two_projects_of_one_bucket_share_nothing(tmp_path: Path, bucket: Bucket) -> None:
    ours, theirs = tmp_path / "a", tmp_path / "b"
    a, b = opened(ours, bucket.remote("a"), "a"), opened(theirs, bucket.remote("b"), "b")
    for root in (ours, theirs):
        (root / "both.bin").write_bytes(b"the same in both")
    (theirs / "secret.bin").write_bytes(b"of b alone")
    a.add("both.bin")
    b.add("both.bin")
    secret = b.add("secret.bin")
    assert (a.push().objects, b.push().objects) == (1, 2)  # what the other sent is not taken for ours
    assert bucket.keys() == {
        f"a/{key_of(md5(b'the same in both'))}",
        f"b/{key_of(md5(b'the same in both'))}",
        f"b/{key_of(secret.hash)}",
    }

    with pytest.raises((DataMissing, NotFound)):
        a.view("secret.bin", rev=secret.hash)
    shutil.copy(theirs / "secret.bin.dvc", ours / "secret.bin.dvc")
    with pytest.raises(DataMissing, match=r"secret\.bin"):
        a.pull("secret.bin")
    assert not (ours / "secret.bin").exists()
    assert b.pull("secret.bin").objects == 0


def test_the_projects_own_files_cannot_turn_its_remote_elsewhere(tmp_path: Path, bucket: Bucket) -> None:
    root, remote = tmp_path / "p", bucket.remote("a")
    remote.options.pop("endpointurl")
    store = opened(root, remote)
    config = root / ".dvc/config"
    config.write_text(
        config.read_text() + f"['remote \"mlops\"']\n url = s3://{bucket.name}/a\n endpointurl = x\n"
    )
    (root / "f.bin").write_bytes(b"1")
    for verb in (lambda: store.add("f.bin"), store.push, store.pull, store.prepare):
        with pytest.raises(InvalidInput, match="remote"):
            verb()
    assert bucket.keys() == set()


def test_keys_are_in_no_tracked_file(tmp_path: Path, bucket: Bucket) -> None:
    root = tmp_path / "p"
    store = opened(root, bucket.remote("a"))
    (root / "f.bin").write_bytes(b"1")
    store.add("f.bin")
    store.push()
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "data")
    assert "f.bin.dvc" in git(root, "ls-files").stdout
    for word in (KEY_ID, SECRET, bucket.name):
        assert git(root, "grep", "--cached", "-F", word, check=False).returncode == 1
    local = root / ".dvc/config.local"
    assert SECRET in local.read_text()
    assert local.stat().st_mode & 0o777 == 0o600


# -- interrupted ------------------------------------------------------------------------------------


def test_a_push_that_was_killed_is_continued(tmp_path: Path, remote: Remote) -> None:
    root = tmp_path / "p"
    store = opened(root, remote)
    before = fill(root / "d", MANY)
    version = store.add("d")
    command = [sys.executable, "-c", DYING_PUSH, str(root), remote.url, str(KILLED_AT)]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    there = settled(remote)
    assert 0 < len(there) < MANY
    assert key_of(version.hash) not in there  # a listing promises that its files are there

    assert store.push().objects == MANY + 1 - len(there)
    assert remote.names() >= there | {key_of(version.hash), *(key_of(md5(each)) for each in before.values())}
    clone, other = cloned(root, remote)
    assert other.pull().objects == MANY + 1
    assert contents(clone / "d") == before


def settled(remote: Remote) -> set[str]:
    """The objects there, once the server is done with what the dead process had sent."""
    found: set[str] = set()
    while len(found) != len(found := objects(remote)) or not found:
        time.sleep(0.3)
    return found


def objects(remote: Remote) -> set[str]:
    return {key for key in remote.names() if re.fullmatch(r"files/md5/[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?", key)}


# -- damaged ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("a file of a folder", b"x" * 1000),
        ("the listing", b"[]"),
        ("the listing", b"no listing"),
        ("a single file", b""),
    ],
)
def test_a_damaged_object_is_named_and_not_taken(
    tmp_path: Path, remote: Remote, what: str, damage: bytes
) -> None:
    root = tmp_path / "p"
    store = opened(root, remote)
    files = fill(root / "d", 3)
    (root / "one.bin").write_bytes(b"one")
    folder, single = store.add("d"), store.add("one.bin")
    store.push()
    clone, other = cloned(root, remote)
    (clone / "d").mkdir()
    (clone / "d/f000.bin").write_bytes(files["f000.bin"])  # one was there already
    path, hash_ = {
        "a file of a folder": ("d/f001.bin", md5(files["f001.bin"])),
        "the listing": ("d", folder.hash),
        "a single file": ("one.bin", single.hash),
    }[what]
    remote.write(key_of(hash_), damage)
    tree = contents(clone / "d")

    with pytest.raises(DataCorrupted) as caught:
        other.pull()
    assert caught.value.files == [f"{path} ({hash_})"]
    assert contents(clone / "d") == tree
    assert not (clone / "one.bin").exists()
    assert not (clone / ".dvc/cache" / key_of(hash_)).exists()
    with pytest.raises(DataCorrupted):  # it is not believed the second time, either
        other.pull()

    if key_of(hash_) in remote.names():
        remote.delete(key_of(hash_))
    assert store.push().objects == 1
    other.pull()
    assert contents(clone / "d") == files
    assert (clone / "one.bin").read_bytes() == b"one"


def test_a_deleted_object_is_missing_until_it_is_pushed_from_where_it_is(
    tmp_path: Path, remote: Remote
) -> None:
    root = tmp_path / "p"
    store = opened(root, remote)
    files = fill(root / "d", 3)
    store.add("d")
    store.push()
    clone, other = cloned(root, remote)
    remote.delete(key_of(md5(files["f001.bin"])))

    with pytest.raises(DataMissing) as caught:
        other.pull()
    assert caught.value.files == ["d/f001.bin"]
    assert not (clone / "d").exists()
    assert store.push().objects == 1
    other.pull()
    assert contents(clone / "d") == files


def test_a_damaged_file_of_the_cache_is_not_sent(tmp_path: Path, remote: Remote) -> None:
    root = tmp_path / "p"
    store = opened(root, remote)
    files = fill(root / "d", 3)
    version = store.add("d")
    hash_ = md5(files["f001.bin"])
    kept = root / ".dvc/cache" / key_of(hash_)
    kept.chmod(0o644)
    kept.write_bytes(b"x" * 1000)
    kept.chmod(0o444)
    with pytest.raises(DataMissing) as caught:
        store.push()
    assert caught.value.files == ["d/f001.bin"]
    sent = {key_of(md5(files[name])) for name in ("f000.bin", "f002.bin")}
    assert objects(remote) == sent  # nor is the listing
    assert store.add("d").hash == version.hash
    assert store.push().objects == 2
    assert objects(remote) == sent | {key_of(hash_), key_of(version.hash)}


def test_what_this_machine_could_not_write_is_not_told_as_damaged(tmp_path: Path, remote: Remote) -> None:
    """The remedy for damaged objects is to delete them on the remote."""
    root = tmp_path / "p"
    store = opened(root, remote)
    fill(root / "d", 2, size=8_000_000)
    store.add("d")
    store.push()
    clone, other = cloned(root, remote)
    command = [sys.executable, "-c", PULL_WITHOUT_SPACE, str(clone), remote.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("DataError 2 objects could not be pulled"), done.stdout
    assert "File too large" in done.stdout
    assert "elete" not in done.stdout
    assert done.stderr == ""  # the one error tells it, not a line for each object
    assert other.pull().objects == 2


# -- not there --------------------------------------------------------------------------------------


def test_an_endpoint_where_nobody_listens_is_named(tmp_path: Path, bucket: Bucket, free_port: int) -> None:
    options = {**bucket.options, "endpointurl": f"http://127.0.0.1:{free_port}"}
    root = tmp_path / "p"
    remote = bucket.remote("a")
    remote.options = options
    store = opened(root, remote)
    (root / "f.bin").write_bytes(b"1")
    store.add("f.bin")
    begun = time.monotonic()
    with pytest.raises(DataError, match=f"127.0.0.1:{free_port}") as caught:
        store.push()
    assert time.monotonic() - begun < 60  # a watchdog: botocore tries five times, 6 to 10 s in all
    assert caught.value.remedy
    assert SECRET not in str(caught.value)


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, bucket: Bucket) -> None:
    gone = Bucket("no-such-bucket", bucket.client, bucket.options)
    root = tmp_path / "p"
    store = opened(root, gone.remote("a"))
    fill(root / "d", 2)
    (root / "f.bin").write_bytes(b"1")
    store.add("f.bin")
    with pytest.raises(DataError, match="bucket does not exist"):
        store.push()
    store.add("d")
    with pytest.raises(DataError, match="bucket does not exist"):
        store.push("d")
    _, other = cloned(root, gone.remote("a"))
    with pytest.raises(DataError, match="no-such-bucket"):
        other.pull()


@pytest.mark.parametrize(("url", "extra"), [("gs://bucket/a", "gcs"), ("azure://bucket/a", "azure")])
def test_a_remote_whose_package_is_missing_says_what_to_install(tmp_path: Path, url: str, extra: str) -> None:
    root = tmp_path / "p"
    git(tmp_path, "init", "-q")
    store = DvcStore(project="a", root=root, remote=url)
    for verb in (store.prepare, store.push, store.pull, lambda: store.status(remote=True)):
        with pytest.raises(DataError) as caught:
            verb()
        assert f"'efficientai-toolkit[{extra}]'" in caught.value.remedy
        if verb == store.prepare:
            (root / "f.bin").write_bytes(b"1")
            store.add("f.bin")  # asks no remote
            shutil.rmtree(root / ".dvc/cache/files")


@pytest.mark.parametrize(
    ("url", "extra"), [("s3://b/a", "s3"), ("gs://b/a", "gcs"), ("azure://b/a", "azure")]
)
def test_the_install_hint_names_the_extra_of_the_scheme(url: str, extra: str) -> None:
    assert install_hint(url) == f"Run `pip install 'efficientai-toolkit[{extra}]'`."


def test_a_connection_to_s3_is_not_waited_for_a_minute_each_time(tmp_path: Path, bucket: Bucket) -> None:
    root = tmp_path / "p"
    opened(root, bucket.remote("a"))
    local = root / ".dvc/config.local"
    assert "connect_timeout = 5" in local.read_text()
    own = bucket.remote("a")
    own.options = {**bucket.options, "connect_timeout": "30"}
    opened(root, own)
    assert "connect_timeout = 30" in local.read_text()
    # What somebody wrote there stays when the options are left to it, but not for a remote of another kind.
    opened(root, Remote(own.url, {}, own.names, own.write, own.delete))
    assert "connect_timeout = 30" in local.read_text()
    store = opened(root, Remote(str(tmp_path / "remotes/a"), {}, own.names, own.write, own.delete))
    (root / "f.bin").write_bytes(b"1")
    store.add("f.bin")
    assert store.push().objects == 1
