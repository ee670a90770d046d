"""The objects of versions: in the cache, on the remote, and moved between the two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlops.data.dvc.outputs import Output
from mlops.data.dvc.session import DvcSession, first_line
from mlops.entities import DataTransfer
from mlops.errors import DataCorrupted, DataError, DataMissing, MLOpsError


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
            self._remote = self._repo.cloud.get_remote_odb("mlops")
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
        """The listing of a folder, from the cache."""
        from dvc_data.hashfile.tree import Tree

        return Tree.load(self.cache, output.info)

    def entries(self, output: Output) -> dict[tuple[str, ...], Any]:
        """The files of an output, of a folder by parts of their paths; the listing must be in the cache."""
        if not output.is_folder:
            return {(): output.info}
        return {key: info for key, _, info in self.tree(output)}

    def meta(self, output: Output) -> Any:
        """DVC's Meta of an output whose objects are all in the cache."""
        from dvc_data.hashfile.meta import Meta

        files = list(self.entries(output).values())
        size = sum(self.place(info).stat().st_size for info in files)
        return Meta(size=size, nfiles=len(files) if output.is_folder else None, isdir=output.is_folder)

    def measured(self, output: Output) -> Output:
        """The output with its size and files, as they are in the cache."""
        meta = self.meta(output)
        return replace(output, size_bytes=meta.size, files=meta.nfiles or 1)

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
        """Upload what the remote lacks; a folder's listing goes last."""
        from dvc.fs.callbacks import TqdmCallback

        known = [output for output in outputs if not self.unsound([output.info])]
        lost = [output.path for output in outputs if output not in known]
        names = self.names(known)
        missing: list[str] = []
        with TqdmCallback(desc="Pushing", unit="file") as bar:
            sent, failed = self._repo.cloud.transfer(
                self.cache,
                self.remote,
                set(names),
                cache_odb=self.cache,
                callback=bar,
                validate_status=lambda status: missing.extend(names[each] for each in status.missing),
            )
        if failed:
            self._raise_failed("push", [names[each] for each in failed])
        # A folder whose listing is on the remote was sent from elsewhere: it is not this machine's to push.
        lost = [
            output.path for output in outputs if output.path in lost and self.not_on_remote([output.info])
        ]
        if missing or lost:
            raise DataMissing(self._session.project, self._session.remote, sorted({*missing, *lost}))
        return self._moved(sent)

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
        if not lacking:
            return DataTransfer(0, 0)
        self._repo.cloud.pull(lacking, odb=self.remote)
        still = [info for info in lacking if not self.cached(info)]
        if not still:
            return self._moved(lacking)
        absent = self.not_on_remote(still)
        damaged = sorted(f"{names[info]} ({info.value})" for info in still if info not in absent)
        raise self._nowhere(damaged, sorted(names[info] for info in absent))

    def _nowhere(self, damaged: list[str], absent: list[str]) -> MLOpsError:
        project, remote = self._session.project, self._session.remote
        return DataCorrupted(project, remote, damaged) if damaged else DataMissing(project, remote, absent)

    def _raise_failed(self, verb: str, names: list[str]) -> None:
        reasons = self._session.troubles
        raise DataError(
            f"{len(names)} objects could not be {verb}ed, {min(names)} among them"
            + (f": {first_line(reasons[0])}" if reasons else ""),
            remedy=f"Check the remote {self._session.remote} and {verb} again: what was sent stays.",
            project=self._session.project,
            files=sorted(names)[:100],
        )

    def _moved(self, infos: Iterable[Any]) -> DataTransfer:
        sizes = [self.place(info).stat().st_size for info in infos]
        return DataTransfer(len(sizes), sum(sizes))


def _digest(info: Any) -> str:
    """A hash without the ending that marks a folder's."""
    return str(info.value).partition(".")[0]
