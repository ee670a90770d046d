"""Garbage of caches, over every project and ref, and how they link."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops.client import MLOpsClient
from mlops.data.dvc import garbage
from mlops.data.dvc.store import DvcStore
from mlops.entities import DataGarbage
from mlops.errors import Conflict, DataError, InvalidInput
from mlops.installation import Installation
from mlops.storage import cache_links, collect_garbage
from tests.data_projects import files, git, installation_in, join, repository, write


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return installation_in(tmp_path / "home")


@pytest.fixture
def alpha(installation: Installation, tmp_path: Path) -> MLOpsClient:
    return join(installation, repository(tmp_path / "git") / "alpha")


def add(client: MLOpsClient, text: str, *, commit: bool = False) -> str:
    write(client, "raw/f.csv", text)
    digest = client.dvc_add("raw").hash
    if commit:
        git(client.project.root, "add", "-A", ".")
        git(client.project.root, "commit", "-qm", text)
    return digest


def cached(client: MLOpsClient) -> set[str]:
    folder = client.project.root / ".dvc/cache/files/md5"
    return {name.replace("/", "") for name in files(folder)}


def configure(client: MLOpsClient, key: str, value: str) -> None:
    """As `dvc config cache.<key>` does."""
    subprocess.run(
        [Path(sys.executable).with_name("dvc"), "config", "--local", f"cache.{key}", value],
        cwd=client.project.root,
        check=True,
        capture_output=True,
    )


def only(found: list[DataGarbage]) -> DataGarbage:
    (one,) = found
    return one


def test_what_nothing_names_is_shown_and_removed_only_when_told(
    installation: Installation, alpha: MLOpsClient
) -> None:
    lost = add(alpha, "never committed")
    kept = add(alpha, "now")
    before = cached(alpha)
    shown = only(collect_garbage(installation))
    assert (shown.objects, shown.removed, shown.projects) == (2, False, ("alpha",))
    assert shown.unpushed == 2
    assert cached(alpha) == before
    size = sum(
        (alpha.project.root / ".dvc/cache/files/md5" / oid[:2] / oid[2:]).stat().st_size
        for oid in before
        if oid not in cached_of(alpha, kept)
    )
    assert shown.size_bytes == size > 0
    removed = only(collect_garbage(installation, remove=True))
    assert (removed.objects, removed.size_bytes, removed.removed) == (2, size, True)
    assert lost not in cached(alpha)
    assert cached(alpha) == cached_of(alpha, kept)
    assert only(collect_garbage(installation)).objects == 0
    assert (alpha.project.root / "raw/f.csv").read_text() == "now"


def cached_of(client: MLOpsClient, digest: str) -> set[str]:
    """The objects of a folder with one file."""
    listing = client.project.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    return {digest, listing.read_text().split('"md5": "')[1][:32]}


def test_what_is_pushed_is_told(installation: Installation, alpha: MLOpsClient) -> None:
    add(alpha, "old")
    alpha.dvc_push()
    add(alpha, "new")
    assert only(collect_garbage(installation)).unpushed == 0


def test_every_ref_counts(installation: Installation, alpha: MLOpsClient) -> None:
    root = alpha.project.root
    wanted = {}
    wanted["tag"] = add(alpha, "of a tag", commit=True)
    git(root, "tag", "-a", "v1", "-m", "annotated")
    wanted["remote"] = add(alpha, "of a remote's branch", commit=True)
    git(root, "update-ref", "refs/remotes/origin/topic", "HEAD")
    git(root, "branch", "other")
    wanted["stashes"] = add(alpha, "of a stash that is not the newest")
    git(root, "add", "-A", ".")
    git(root, "stash", "-q")
    add(alpha, "of the newest stash")
    git(root, "add", "-A", ".")
    git(root, "stash", "-q")
    wanted["head"] = add(alpha, "of HEAD", commit=True)
    wanted["tree"] = add(alpha, "of the working tree")
    lost = add(alpha, "lost")
    add(alpha, "of the working tree")
    assert only(collect_garbage(installation, remove=True)).objects == 2
    assert lost not in cached(alpha)
    for digest in wanted.values():
        assert cached_of(alpha, digest) <= cached(alpha)
    for rev, text in (("v1", "of a tag"), ("origin/topic", "of a remote's branch"), ("HEAD", "of HEAD")):
        assert files(alpha.use_data("raw", rev=rev)) == {"f.csv": text.encode()}


def test_the_index_and_where_a_project_was_count_too(installation: Installation, tmp_path: Path) -> None:
    top = repository(tmp_path / "git")
    old = join(installation, top / "old" / "alpha")
    before = add(old, "before it moved", commit=True)
    git(top, "branch", "before")
    (top / "old/alpha").rename(top / "alpha")
    git(top, "add", "-A", ".")
    git(top, "commit", "-qm", "moved")
    alpha = join(installation, top / "alpha")
    lost = add(alpha, "in neither index nor commit")
    staged = add(alpha, "staged")
    in_index = git(top, "rev-parse", ":alpha/raw.dvc")
    add(alpha, "now")
    git(top, "update-index", "--cacheinfo", f"100644,{in_index},alpha/raw.dvc")
    assert only(collect_garbage(installation, remove=True)).objects == 2
    assert cached_of(alpha, before) <= cached(alpha)
    assert cached_of(alpha, staged) <= cached(alpha)
    assert lost not in cached(alpha)


def test_what_a_run_used_is_kept_and_can_be_used_again(
    installation: Installation, alpha: MLOpsClient
) -> None:
    """That runs are asked for it, tests/stack shows: here the tracker is each process's own."""
    used = add(alpha, "of a run")
    add(alpha, "lost")
    add(alpha, "now")
    store = alpha._workspace.data
    assert isinstance(store, DvcStore)
    assert only(garbage.collect([store], {"alpha": {used}}, remove=True)).objects == 2
    assert files(alpha.use_data("raw", rev=used)) == {"f.csv": b"of a run"}


def test_views_that_nothing_needs_go_with_it(installation: Installation, alpha: MLOpsClient) -> None:
    add(alpha, "looked at")
    place = alpha.use_data("raw")
    add(alpha, "now")
    kept = alpha.use_data("raw")
    assert (only(collect_garbage(installation)).objects, only(collect_garbage(installation)).views) == (0, 0)
    for each in (place, kept):  # two days ago
        os.utime(each.parent, (time.time() - 2 * 86400,) * 2)
    found = only(collect_garbage(installation, remove=True))
    assert (found.objects, found.views) == (2, 1)
    assert not place.exists()
    assert files(kept) == {"f.csv": b"now"}


def test_a_shared_cache_keeps_what_any_of_its_projects_needs(
    installation: Installation, alpha: MLOpsClient, tmp_path: Path
) -> None:
    beta = join(installation, tmp_path / "git/beta")
    gamma = join(installation, tmp_path / "elsewhere/gamma")
    shared = tmp_path / "cache"
    for client in (alpha, beta):
        configure(client, "dir", str(shared))
    needed = {add(alpha, "of alpha"), add(beta, "of beta")}
    lost = add(alpha, "lost")
    add(alpha, "of alpha")
    add(gamma, "of gamma")
    found = {each.projects: each.objects for each in collect_garbage(installation, remove=True)}
    assert found == {("alpha", "beta"): 2, ("gamma",): 0}
    there = {name.replace("/", "") for name in files(shared / "files/md5")}
    assert needed <= there
    assert lost not in there
    for client in (alpha, beta, gamma):
        assert client.dvc_status()[0].uncached == 0


# -- what stops it ------------------------------------------------------------------------------


def test_a_project_that_is_gone_stops_it(
    installation: Installation, alpha: MLOpsClient, tmp_path: Path
) -> None:
    lost = add(alpha, "lost")
    add(alpha, "now")
    gone = join(installation, tmp_path / "git/gone")
    shutil.rmtree(gone.project.root)
    with pytest.raises(Conflict, match="'gone'") as caught:
        collect_garbage(installation, remove=True)
    assert "Register" in caught.value.remedy
    assert lost in cached(alpha)


def test_a_working_tree_that_cannot_be_read_stops_it(installation: Installation, alpha: MLOpsClient) -> None:
    lost = add(alpha, "lost")
    add(alpha, "now")
    (alpha.project.root / "broken.dvc").write_text("outs: 3")
    with pytest.raises(DataError, match="cannot be read") as caught:
        collect_garbage(installation, remove=True)
    assert "nothing was removed" in caught.value.remedy
    assert lost in cached(alpha)


def test_a_repository_that_git_does_not_tell_of_stops_it(
    installation: Installation, alpha: MLOpsClient
) -> None:
    lost = add(alpha, "lost", commit=True)
    add(alpha, "now")
    (alpha.project.root.parent / ".git/refs/heads/broken").write_text("0" * 39 + "1\n")
    with pytest.raises(DataError, match="git does not tell"):
        collect_garbage(installation, remove=True)
    assert lost in cached(alpha)


def test_a_listing_that_only_an_absent_remote_may_have_stops_it(
    installation: Installation, alpha: MLOpsClient
) -> None:
    kept = add(alpha, "of a tag", commit=True)
    git(alpha.project.root, "tag", "v1")
    alpha.dvc_push()
    add(alpha, "now", commit=True)
    (alpha.project.root / ".dvc/cache/files/md5" / kept[:2] / kept[2:]).unlink()
    remote = Path(alpha.workspace.dvc_remote_path)
    remote.rename(remote.with_name("away"))
    before = cached(alpha)
    with pytest.raises(DataError, match="is not there") as caught:
        collect_garbage(installation, remove=True)
    assert "nothing was removed" in caught.value.remedy
    assert cached(alpha) == before
    remote.with_name("away").rename(remote)
    assert only(collect_garbage(installation, remove=True)).objects == 0
    assert files(alpha.use_data("raw", rev="v1")) == {"f.csv": b"of a tag"}


def test_a_cache_among_the_remotes_is_refused(
    installation: Installation, alpha: MLOpsClient, tmp_path: Path
) -> None:
    """It has the layout of a remote: another project's pushed data would be this one's garbage."""
    beta = join(installation, tmp_path / "git/beta")
    add(beta, "of beta")
    beta.dvc_push()
    before = files(Path(beta.workspace.dvc_remote_path))
    configure(alpha, "dir", beta.workspace.dvc_remote_path)
    with pytest.raises(InvalidInput, match="among the data remotes"):
        collect_garbage(installation, remove=True)
    with pytest.raises(InvalidInput, match="among the data remotes"):
        alpha.dvc_status()
    assert files(Path(beta.workspace.dvc_remote_path)) == before


def test_what_is_no_hash_is_no_path(installation: Installation, alpha: MLOpsClient, tmp_path: Path) -> None:
    victim = tmp_path / "victim.dir"
    victim.write_text("mine")
    add(alpha, "now")
    climb = "aa/" + "../" * 12 + str(victim).lstrip("/")
    evil = alpha.project.root / "evil.dvc"
    evil.write_text(f"outs:\n- md5: {climb}\n  hash: md5\n  path: evil\n")
    git(alpha.project.root, "add", "-A", ".")
    git(alpha.project.root, "commit", "-qm", "evil")
    collect_garbage(installation, remove=True)
    for verb in (alpha.dvc_checkout, alpha.dvc_pull, alpha.dvc_push, alpha.dvc_status):
        with pytest.raises(InvalidInput):
            verb()
    assert victim.read_text() == "mine"


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from mlops.tracking.journal import RunJournal
from mlops.tracking.run_folder import Opening, new_key

opening = Opening(project="alpha", key=new_key(), name="left", started_ms=1750000000000)
RunJournal.create(Path(sys.argv[1]), opening).metrics({"loss": 1.0}, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_runs_that_wait_in_the_journal_stop_it(installation: Installation, alpha: MLOpsClient) -> None:
    lost = add(alpha, "lost")
    add(alpha, "now")
    subprocess.run([sys.executable, "-c", KILLED_RUN, str(installation.journal_dir / "alpha")], check=False)
    with pytest.raises(Conflict, match="wait in the journal") as caught:
        collect_garbage(installation, remove=True)
    assert "mlops:sync" in caught.value.remedy
    assert lost in cached(alpha)


def test_an_installation_without_projects_has_no_garbage(installation: Installation) -> None:
    assert collect_garbage(installation, remove=True) == []


def test_a_remote_that_does_not_answer_leaves_the_question_open(
    installation: Installation, alpha: MLOpsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(alpha, "lost")
    add(alpha, "now")

    def away(*_: object) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(garbage.Objects, "not_on_remote", away)
    assert only(collect_garbage(installation)).unpushed is None


# -- links --------------------------------------------------------------------------------------


def test_the_link_that_is_told_is_the_one_that_pulling_makes(
    installation: Installation, alpha: MLOpsClient
) -> None:
    add(alpha, "now")
    (alpha.project.root / "raw/f.csv").unlink()
    alpha.dvc_checkout()
    links = (alpha.project.root / "raw/f.csv").stat().st_nlink
    (found,) = cache_links(installation)
    assert (found.project, found.problem) == ("alpha", "")
    assert found.kind == ("hardlink" if links > 1 else "reflink")
    configure(alpha, "type", "copy")
    assert cache_links(installation)[0].kind == "copy"


def test_a_project_without_a_data_root_says_what_is_wrong(
    installation: Installation, alpha: MLOpsClient
) -> None:
    (alpha.project.root / ".dvc/config").unlink()
    (found,) = cache_links(installation)
    assert found.kind == ""
    assert "no data root" in found.problem
