"""What .dvc files and dvc.lock record: the versions of data paths, now and at a git revision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlops.data import git
from mlops.data.dvc.session import REMOTE
from mlops.data.paths import check_path
from mlops.data.record import META, checks_of
from mlops.entities import DataCheck
from mlops.errors import DataNotFound, InvalidInput, RevisionNotFound


@dataclass(frozen=True)
class Output:
    """One data path as it is recorded."""

    path: str
    """Relative to the project's folder, POSIX separators."""
    info: Any
    """DVC's HashInfo."""
    size_bytes: int
    """0 where it is not recorded."""
    files: int
    """0 of a version that is known by its hash alone."""
    checks: tuple[DataCheck, ...] = ()
    dvc_file: str | None = None
    """The .dvc file that records it; None of a pipeline's output, which dvc.lock records."""

    @property
    def hash(self) -> str:
        """DVC's content hash."""
        return str(self.info.value)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, whose listing is an object of its own."""
        return bool(self.info.isdir)


@contextmanager
def at_revision(repo: Any, project: str, root: Path, rev: str | None) -> Iterator[None]:
    """The repository as of `rev`, as of the working tree where it is None. Raises `RevisionNotFound`,
    also for a revision from before the project was there."""
    from dvc.exceptions import NotDvcRepoError

    if rev is None:
        yield
        return
    commit = git.commit_of(project, root, rev)
    try:
        switched = repo.switch(commit)
        switched.__enter__()
    except NotDvcRepoError as error:
        raise RevisionNotFound(project, rev) from error
    try:
        yield
    finally:
        switched.__exit__(None, None, None)


def recorded(
    repo: Any, project: str, root: Path, path: str | None = None, rev: str | None = None
) -> list[Output]:
    """The recorded outputs, or that of `path`, as of `rev`.

    Raises `DataNotFound` for a path that has none, `RevisionNotFound`, and `InvalidInput` for one that the
    project's files put out of the project's folder or on another remote.
    """
    plain = None if path is None else check_path(root, path)
    if rev is not None and git.is_content_hash(rev):
        return [_by_hash(repo, project, root, plain, rev)]
    with at_revision(repo, project, root, rev):
        found = [
            _output(root, out, relative_path(repo, out))
            for out in repo.index.outs
            if out.use_cache and out.hash_info and plain in (None, relative_path(repo, out))
        ]
    if plain is not None and not found:
        if rev is None:
            raise DataNotFound(
                project,
                plain,
                remedy="Add it with `mlops:dvc-add`; of a folder that was added, name the folder.",
            )
        raise RevisionNotFound(project, rev, plain)
    return found


def _by_hash(repo: Any, project: str, root: Path, plain: str | None, rev: str) -> Output:
    from dvc_data.hashfile.hash_info import HashInfo

    if plain is None:
        raise InvalidInput("rev", rev, "is the hash of one path's version", remedy="Name the path, too.")
    try:
        (now,) = recorded(repo, project, root, plain)
    except DataNotFound as error:  # a hash says nothing of a path that has no version
        raise RevisionNotFound(project, rev, plain) from error
    return now if now.hash == rev else Output(path=plain, info=HashInfo("md5", rev), size_bytes=0, files=0)


def relative_path(repo: Any, out: Any) -> str:
    """Of an output, relative to the project's folder; empty where it is outside."""
    return PurePosixPath(repo.fs.relpath(out.fs_path, repo.root_dir)).as_posix() if out.is_in_repo else ""


def _output(root: Path, out: Any, relative: str) -> Output:
    stage = out.stage
    _refuse_foreign(root, out, relative)
    return Output(
        path=relative,
        info=out.hash_info,
        size_bytes=int(out.meta.size or 0),
        files=int(out.meta.nfiles or 1),
        checks=checks_of((stage.meta or {}).get(META)) if stage.is_data_source else (),
        dvc_file=f"{relative}.dvc" if stage.is_data_source else None,
    )


def _refuse_foreign(root: Path, out: Any, relative: str) -> None:
    """What a project's own files may not do: reach out of its folder, or name a remote or a repository."""
    if not relative or not out.is_in_repo:
        raise InvalidInput(
            "path", str(out), "is recorded outside the project's folder", remedy=f"Mend {out.stage.relpath}."
        )
    check_path(root, relative)
    if out.hash_info.name != "md5":
        raise InvalidInput(
            "path",
            relative,
            f"is recorded by DVC 2 ({out.hash_info.name})",
            remedy="Run `dvc cache migrate --dvc-files` in the project's folder, then commit.",
        )
    if not git.is_content_hash(str(out.hash_info.value)):  # it becomes a path
        raise InvalidInput(
            "md5",
            str(out.hash_info.value),
            "is no content hash",
            remedy=f"Restore {out.stage.relpath} from git.",
        )
    if out.remote not in (None, REMOTE):
        raise InvalidInput(
            "remote",
            out.remote,
            f"is named by {out.stage.relpath}, and a project has its own remote alone",
            remedy=f"Take the `remote:` line out of {out.stage.relpath}.",
        )
    if out.stage.is_import:
        raise InvalidInput(
            "path",
            relative,
            f"is imported from elsewhere ({out.stage.deps[0]}), which a project may not fetch here",
            remedy=f"Remove {out.stage.relpath} and add the copy with `mlops:dvc-add`.",
        )


def write(repo: Any, stage: Any) -> None:
    """Write a stage's .dvc file in one step, to be staged with its .gitignore.

    DVC empties the file first: a process that is killed then leaves it so, and one that reads it meanwhile,
    for which it needs no lock, finds nothing in it. Of a .gitignore that is written already, by a process
    that was killed before it staged it, DVC thinks that it is staged.
    """
    from dvc.dvcfile import check_dvcfile_path
    from dvc.stage.serialize import to_single_stage_file
    from dvc.utils.serialize import dump_yaml

    check_dvcfile_path(repo, stage.path)
    part = Path(f"{stage.path}.part")  # one writer at a time, by DVC's lock
    dump_yaml(str(part), to_single_stage_file(stage))
    part.replace(stage.path)
    ignored = part.with_name(".gitignore")
    repo.scm_context.track_file([stage.path, *([str(ignored)] if ignored.exists() else [])])
