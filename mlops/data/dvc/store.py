"""The data of one project, by DVC."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.data import git, record
from mlops.data.dvc import tree
from mlops.data.dvc.objects import Objects
from mlops.data.dvc.outputs import Output, recorded, relative_path, write
from mlops.data.dvc.session import LOCK_WAIT_S, DvcSession
from mlops.data.paths import check_path
from mlops.data.survey import MANY_FILES, Survey, survey
from mlops.entities import DataCheck, DataState, DataStatus, DataTransfer, DataVersion
from mlops.errors import DataMissing, DataNotFound, InvalidInput, RevisionNotFound

if TYPE_CHECKING:
    from mlops.data.base import DataStore

_log = logging.getLogger(__name__)

VIEWS = Path(".dvc/tmp/versions")
"""Where the copies of versions lie that `use_data` returns: as a rule on the cache's disk, ignored by git."""


class DvcStore:
    """See `DataStore`."""

    def __init__(
        self,
        *,
        project: str,
        root: Path,
        remote: str,
        remote_options: Mapping[str, str] | None = None,
        lock_wait_s: float = LOCK_WAIT_S,
    ) -> None:
        """`remote` is a folder or a URL DVC knows, `remote_options` what DVC wants to know of it besides;
        both go into the local, untracked configuration. `lock_wait_s` bounds the wait for another process
        that holds DVC's lock, or git's."""
        self.project = project
        self.session = DvcSession(
            project=project,
            root=root,
            remote=remote,
            remote_options=remote_options,
            lock_wait_s=lock_wait_s,
        )
        self._root = self.session.root

    def prepare(self) -> None:
        """See `DataStore.prepare`: a DVC root inside a git repository, or without one."""
        self.session.prepare()

    # -- versions -------------------------------------------------------------------------------

    def add(self, path: str, check: Callable[[], Sequence[DataCheck]] = tuple) -> DataVersion:
        """See `DataStore.add`."""
        plain = check_path(self._root, path)
        found = survey(self.project, self._root, plain)
        if len(found.files) > MANY_FILES:
            _log.warning(
                "%s has %d files: adding it, and each push and pull, takes minutes. One archive is quick:"
                " `mlops:dvc-add %s --archive` (archive=True).",
                plain,
                len(found.files),
                plain,
            )
        checks = tuple(check())
        found.check_quiet()
        self.session.locked(f"adding {plain!r} to the", lambda repo: self._add(repo, found, checks))
        return self.version(plain)

    def _add(self, repo: Any, found: Survey, checks: tuple[DataCheck, ...]) -> None:
        """What DVC's `add` does, with one step between: nothing is recorded of files that changed meanwhile,
        and the working tree keeps its own files, which whoever has them open goes on writing."""
        from dvc.repo.add import translate_graph_error

        target = str(self._root / found.path)
        with translate_graph_error([]):
            stage = self._stage(repo, found.path)
        with translate_graph_error([stage]):
            repo.check_graph(stages=[stage])
        try:
            stage.add_outs(target, relink=False)
        except Exception:  # a file is not there any more
            found.check_unchanged()
            raise
        if changed := found.changed():
            self._forget(repo, stage.outs[0], found.path, changed)
            found.check_unchanged()
        stage.meta = record.with_checks(stage.meta, checks)
        write(repo, stage)

    def _forget(self, repo: Any, out: Any, path: str, changed: Sequence[str]) -> None:
        """Take out of the cache what stands there under the hash of other content."""
        objects = Objects(self.session, repo)
        output = Output(path=path, info=out.hash_info, size_bytes=0, files=0)
        objects.rehash(info for info, name in objects.names([output]).items() if name in changed)

    def version(self, path: str, rev: str | None = None) -> DataVersion:
        """See `DataStore.version`. The recorded one is read from `<path>.dvc`, without DVC."""
        plain = check_path(self._root, path)
        if rev is None and (found := record.read(self.project, self._root, plain)) is not None:
            revision, dirty = git.state(self._root)
            dirty = dirty or (revision is not None and not git.tracks(self._root / f"{plain}.dvc"))
            return replace(found, git_revision=revision, git_dirty=dirty, remote=self.session.remote)

        def work(repo: Any) -> DataVersion:
            (output,) = self._find(repo, plain, rev)
            return self._versions([output if output.files else self._measured(repo, output)], rev)[0]

        return self.session.run(f"looking for {plain!r} in the", work)

    def _measured(self, repo: Any, output: Output) -> Output:
        """What is known by its hash alone, with its size and files; of data, nothing is fetched."""
        objects = Objects(self.session, repo)
        try:
            objects.fetch_listings([output])
            return objects.measured(output)
        except (DataMissing, FileNotFoundError) as error:
            raise RevisionNotFound(self.project, output.hash, output.path) from error

    def _find(self, repo: Any, path: str | None, rev: str | None) -> list[Output]:
        return recorded(repo, self.project, self._root, path, rev)

    def _versions(self, outputs: Sequence[Output], rev: str | None) -> list[DataVersion]:
        """Of a git revision, git is clean; of a hash, no revision is known."""
        if rev is None:
            revision, dirty = git.state(self._root)
        elif git.is_content_hash(rev):
            revision, dirty = None, False
        else:
            revision, dirty = git.commit_of(self.project, self._root, rev), False
        return [
            DataVersion(
                project=self.project,
                path=output.path,
                hash=output.hash,
                size_bytes=output.size_bytes,
                files=output.files,
                git_revision=revision,
                git_dirty=dirty,
                remote=self.session.remote,
                checks=output.checks,
            )
            for output in outputs
        ]

    # -- the remote -----------------------------------------------------------------------------

    def push(self, path: str | None = None) -> DataTransfer:
        """See `DataStore.push`. No lock is held: objects never change, and are complete when they appear."""
        return self.session.run(
            "pushing", lambda repo: Objects(self.session, repo).push(self._find(repo, path, None))
        )

    def pull(self, path: str | None = None, rev: str | None = None, *, force: bool = False) -> DataTransfer:
        """See `DataStore.pull`."""
        moved = self.session.run(
            "pulling", lambda repo: Objects(self.session, repo).fetch(self._find(repo, path, rev))
        )
        self.checkout(rev, path, force=force)
        return moved

    # -- the working tree -----------------------------------------------------------------------

    def checkout(
        self, rev: str | None = None, path: str | None = None, *, force: bool = False
    ) -> list[DataVersion]:
        """See `DataStore.checkout`. Of `rev`, a pipeline's outputs stay: dvc.lock records them."""

        def work(repo: Any) -> list[Output]:
            outputs = self._find(repo, path, rev)
            if rev is not None:
                outputs = [self._own(repo, output, rev) for output in outputs if output.dvc_file or path]
            objects = Objects(self.session, repo)
            stages = {} if rev is None else self._stages(repo, outputs)
            tree.place(repo, self._root, objects, outputs, project=self.project, force=force)
            for output, stage in stages.items():
                self._record(repo, objects, output, stage)
            return [each if each.files else objects.measured(each) for each in outputs]

        return self._versions(self.session.locked("checking out", work), rev)

    def _own(self, repo: Any, output: Output, rev: str) -> Output:
        """The output with the .dvc file that is to record it."""
        if output.dvc_file is not None:
            return output
        now = [each for each in self._find(repo, None, None) if each.path == output.path]
        if (now and now[0].dvc_file is None) or not git.is_content_hash(rev):
            raise DataNotFound(
                self.project,
                output.path,
                remedy="It is a pipeline's output: run the pipeline of that revision, or use"
                f" `client.use_data({output.path!r}, rev={rev!r})`.",
            )
        return replace(output, dvc_file=f"{output.path}.dvc")

    def _stages(self, repo: Any, outputs: Sequence[Output]) -> dict[Output, Any]:
        """What is to record each output; raises where what is recorded now overlaps with one."""
        stages = {output: self._stage(repo, output.path) for output in outputs}
        repo.check_graph(stages=list(stages.values()))
        return stages

    def _stage(self, repo: Any, path: str) -> Any:
        """DVC's stage of a path, found or new; raises `InvalidInput` for one that is part of another's."""
        from dvc.repo.add import get_or_create_stage

        stage, _ = get_or_create_stage(repo, str(self._root / path))
        wholes = sorted(relative_path(repo, out) for out in stage.outs)
        if wholes != [path]:
            problem = f"is recorded with {', '.join(wholes)} as a whole"
            raise InvalidInput(
                "path", path, problem, remedy=f"Use {wholes[0]}, or remove {stage.relpath} first."
            )
        return stage

    def _record(self, repo: Any, objects: Objects, output: Output, stage: Any) -> None:
        """Write the .dvc file of what was just put into the working tree."""
        out = stage.outs[0]
        out.hash_info = output.info
        out.meta = objects.meta(output)
        stage.meta = record.with_checks(stage.meta, output.checks)
        out.ignore()
        write(repo, stage)

    def status(self, path: str | None = None, *, remote: bool = False) -> list[DataStatus]:
        """See `DataStore.status`."""

        def work(repo: Any) -> list[DataStatus]:
            objects = Objects(self.session, repo)
            return [self._status(repo, objects, each, remote) for each in self._find(repo, path, None)]

        return self.session.run("comparing", work)

    def _status(self, repo: Any, objects: Objects, output: Output, remote: bool) -> DataStatus:
        target = self._root / output.path
        now = tree.contents(repo, objects, target)
        listed = not output.is_folder or objects.cached(output.info)
        then = objects.entries(output) if listed else {}
        # Without the listing, which the cache lacks, only the whole is told apart.
        same = now == then if listed else tree.hash_of(repo, objects, target) == output.hash
        state = DataState.UNCHANGED if same else DataState.MODIFIED if now else DataState.MISSING
        there = {info for info in then.values() if objects.cached(info)}
        return DataStatus(
            path=output.path,
            hash=output.hash,
            state=state,
            added=len(now.keys() - then.keys()) if listed else 0,
            modified=sum(now[key] != then[key] for key in now.keys() & then.keys()),
            deleted=len(then.keys() - now.keys()),
            uncached=len(set(then.values()) - there) if listed else output.files,
            unpushed=self._unpushed(objects, output, then) if remote else None,
        )

    def _unpushed(self, objects: Objects, output: Output, entries: Mapping[Any, Any]) -> int:
        lacking = objects.not_on_remote({output.info, *entries.values()})
        return len([info for info in lacking if not info.isdir]) or len(lacking)

    # -- views ----------------------------------------------------------------------------------

    def view(self, path: str, rev: str | None = None) -> tuple[Path, DataVersion]:
        """See `DataStore.view`: below `.dvc/tmp`, one for each version and name."""
        doing = f"bringing {path!r} of the"
        (output,) = self.session.run(doing, lambda repo: self._find(repo, check_path(self._root, path), rev))
        place = self._root / VIEWS / output.hash / Path(output.path).name
        if not self.session.run(doing, lambda repo: self._is_view(repo, output, place)):
            self.session.run(doing, lambda repo: Objects(self.session, repo).fetch([output]))
            self.session.locked(doing, lambda repo: self._make_view(repo, output, place))
        place.parent.touch()  # somebody is about to use it
        if not output.files:
            output = self.session.run(doing, lambda repo: self._measured(repo, output))
        return place, self._versions([output], rev)[0]

    def _is_view(self, repo: Any, output: Output, place: Path) -> bool:
        return tree.hash_of(repo, Objects(self.session, repo), place) == output.hash

    def _make_view(self, repo: Any, output: Output, place: Path) -> None:
        """Under DVC's lock: of processes that want the same one, the first makes it, in one step."""
        if self._is_view(repo, output, place):
            return
        objects = Objects(self.session, repo)
        objects.fetch([output])  # garbage may have been collected since
        part = place.parent.with_name(".part")
        tree.remove(part)  # what a killed process left
        tree.put(repo, objects, output, part / place.name)
        tree.protect(part)
        place.parent.mkdir(exist_ok=True)
        if place.exists():  # a damaged one
            place.rename(part / ".damaged")
        (part / place.name).rename(place)
        tree.remove(part)


if TYPE_CHECKING:
    _conforms: type[DataStore] = DvcStore
