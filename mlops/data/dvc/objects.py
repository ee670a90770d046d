"""The objects of versions: in the cache, on the remote, and moved between the two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlops.data import git
from mlops.data.dvc.outputs import Output
from mlops.data.dvc.session import REMOTE, DvcSession, first_line
from mlops.data.paths import TOOLS
from mlops.entities import DataTransfer
from mlops.errors import DataCorrupted, DataError, DataMissing

_NO_NAMES = ("", ".", "..", *TOOLS)


class Objects:
    """The cache and the remote of an opened repository."""

    def __init__(self, session: DvcSession, repo: Any) -> None:
        self._session = session
        self._repo = repo
        self.cache = repo.cache.local
        self._remote: Any = None

    @property
    def remote(self) -> Any:
        """The project's remote. DVC's index of what a remote has is not used: it believes that a folder is
        whole there as long as its listing is, whatever happened to the files."""
        if self._remote is None:
            self._remote = self._repo.cloud.get_remote_odb(REMOTE)
            self._remote.tmp_dir = None
        return self._remote

    def place(self, info: Any) -> Path:
        """Where the cache has an object, or would have it."""
        return Path(self.cache.oid_to_path(info.value))

    # -- what there is --------------------------------------------------------------------------

    def names(self, outputs: Iterable[Output]) -> dict[Any, str]:
        """The objects of the outputs, with a path that each stands for. The listings of folders must be in
        the cache."""
        found: dict[Any, str] = {}
        for output in outputs:
            found[output.info] = output.path
            if output.is_folder:
                for key, _, info in self.tree(output):
                    found.setdefault(info, "/".join((output.path, *key)))
        return found

    def tree(self, output: Output) -> Any:
        """The listing of a folder, from the cache. Raises `DataError` for one that names what is not below
        the folder: whoever writes a .dvc file chooses the listing."""
        from dvc_data.hashfile.tree import Tree

        listing = Tree.load(self.cache, output.info)
        for key, _, info in listing:
            if not git.is_content_hash(str(info.value)) or any(part in _NO_NAMES for part in key):
                raise DataError(
                    f"the listing of {output.path!r} ({output.hash}) names {'/'.join(key)!r}, no file of it",
                    remedy="It was not made by `mlops:dvc-add`: use another version.",
                    project=self._session.project,
                    path=output.path,
                )
        return listing

    def entries(self, output: Output) -> dict[tuple[str, ...], Any]:
        """The files of an output, of a folder by parts of their paths; the listing must be in the cache."""
        if not output.is_folder:
            return {(): output.info}
        return {key: info for key, _, info in self.tree(output)}

    def meta(self, output: Output) -> Any:
        """DVC's Meta of an output; of a folder, the listing must be in the cache."""
        from dvc_data.hashfile.meta import Meta

        files = list(self.entries(output).values())
        size = sum(self._size(info) for info in files)
        return Meta(size=size, nfiles=len(files) if output.is_folder else None, isdir=output.is_folder)

    def measured(self, output: Output) -> Output:
        """The output with its size and files, as they are in the cache or on the remote; raises
        `FileNotFoundError`."""
        meta = self.meta(output)
        return replace(output, size_bytes=meta.size, files=meta.nfiles or 1)

    def _size(self, info: Any) -> int:
        place = self.place(info)
        return int(
            place.stat().st_size
            if place.exists()
            else self.remote.fs.size(self.remote.oid_to_path(info.value))
        )

    def rehash(self, infos: Iterable[Any]) -> None:
        """Remove from the cache what has another content than its hash says, whatever DVC knows of it."""
        from dvc_data.hashfile.hash import hash_file

        for info in infos:
            place = self.place(info)
            if place.exists() and hash_file(str(place), self.cache.fs, "md5")[1].value != info.value:
                place.unlink()

    def unsound(self, infos: Iterable[Any]) -> list[Any]:
        """Those that the cache lacks. A damaged one counts so, and is removed: files in it are hard links,
        which whoever may write anywhere can change in place. What DVC knows of an unchanged file is
        believed, as DVC does; it believes a file that is read-only, too, which is not enough here."""
        from dvc_data.hashfile.hash import hash_file

        lacking = []
        for info in infos:
            place = self.place(info)
            try:
                _, actual = hash_file(str(place), self.cache.fs, "md5", self.cache.state)
            except FileNotFoundError:
                lacking.append(info)
                continue
            if _digest(actual) != _digest(info):
                place.unlink()
                lacking.append(info)
        return lacking

    def cached(self, info: Any) -> bool:
        """Whether the cache has it."""
        return self.place(info).exists()

    def not_on_remote(self, infos: Iterable[Any]) -> list[Any]:
        """Those that the remote lacks."""
        wanted = list(infos)
        there = set(self.remote.oids_exist([info.value for info in wanted])) if wanted else set()
        return [info for info in wanted if info.value not in there]

    # -- moving ---------------------------------------------------------------------------------

    def push(self, outputs: Sequence[Output]) -> DataTransfer:
        """Upload what the remote lacks; a folder's listing last, since it promises its files."""
        known = [output for output in outputs if not self.unsound([output.info])]
        lost = [output.path for output in outputs if output not in known]
        names = self.names(known)
        new = self.not_on_remote(names)
        missing = set(self.unsound(new))
        failed = self._copy(self.remote, [info for info in new if not info.isdir and info not in missing])
        whole = [
            output.info
            for output in known
            if output.is_folder
            and output.info in new
            and (missing | failed.keys()).isdisjoint(self.entries(output).values())
        ]
        failed |= self._copy(self.remote, whole)
        if failed:
            raise self._refused("push", {names[info]: error for info, error in failed.items()})
        # A folder whose listing is on the remote was sent from elsewhere: it is not this machine's to push.
        lost = [
            output.path for output in outputs if output.path in lost and self.not_on_remote([output.info])
        ]
        if missing or lost:
            absent = sorted({*(names[info] for info in missing), *lost})
            raise DataMissing(self._session.project, self._session.remote, absent)
        return self._moved(new)

    def fetch(self, outputs: Sequence[Output]) -> DataTransfer:
        """Download what the cache lacks, and verify it. Raises `DataMissing`, `DataCorrupted`."""
        listings = self.fetch_listings(outputs)
        folders = {output.info for output in outputs if output.is_folder}
        files = {info: name for info, name in self.names(outputs).items() if info not in folders}
        rest = self._bring(files)
        return DataTransfer(
            listings.objects + rest.objects,
            listings.size_bytes + rest.size_bytes,
        )

    def fetch_listings(self, outputs: Sequence[Output]) -> DataTransfer:
        """Download the listings of folders that the cache lacks, as `fetch` does."""
        return self._bring({output.info: output.path for output in outputs if output.is_folder})

    def _bring(self, names: dict[Any, str]) -> DataTransfer:
        lacking = self.unsound(names)
        failed = self._copy(self.cache, lacking)
        project, remote = self._session.project, self._session.remote
        if damaged := [info for info in lacking if info not in failed and not self.cached(info)]:
            raise DataCorrupted(project, remote, sorted(f"{names[info]} ({info.value})" for info in damaged))
        absent = [info for info, error in failed.items() if isinstance(error, FileNotFoundError)]
        if refused := failed.keys() - absent:
            raise self._refused("pull", {names[info]: failed[info] for info in refused})
        if absent:
            raise DataMissing(project, remote, sorted(names[info] for info in absent))
        return self._moved(lacking)

    def _copy(self, target: Any, infos: Sequence[Any]) -> dict[Any, BaseException]:
        """Copy objects to the remote, or from it to the cache; returns which of them could not be, and why.
        DVC's own transfer tells neither, and asks first: of a remote in a folder it then removes what it
        finds damaged. What arrives in the cache is verified, and does not stay when it is damaged."""
        from dvc.fs.callbacks import TqdmCallback

        to_cache = target is self.cache
        source = self.remote if to_cache else self.cache
        wanted = {str(info.value): info for info in infos}
        failed: dict[Any, BaseException] = {}
        if wanted:
            with TqdmCallback(desc="Fetching" if to_cache else "Pushing", unit="file") as bar:
                target.add(
                    [source.oid_to_path(oid) for oid in wanted],
                    source.fs,
                    list(wanted),
                    callback=bar,
                    check_exists=False,
                    verify=to_cache,
                    batch_size=target.fs.jobs,
                    on_error=lambda oid, error: failed.update({wanted[oid]: error}),
                )
        return failed

    def _refused(self, verb: str, failed: dict[str, BaseException]) -> DataError:
        first = min(failed)
        return DataError(
            f"{len(failed)} objects could not be {verb}ed, {first} among them: {first_line(failed[first])}",
            remedy=f"Check the remote {self._session.remote} and the disk, and {verb} again: what was moved"
            " stays.",
            project=self._session.project,
            files=sorted(failed)[:100],
        )

    def _moved(self, infos: Iterable[Any]) -> DataTransfer:
        sizes = [self.place(info).stat().st_size for info in infos]
        return DataTransfer(len(sizes), sum(sizes))


def _digest(info: Any) -> str:
    """A hash without the ending that marks a folder's."""
    return str(info.value).partition(".")[0]
