"""How the working tree takes files from the cache: by reflink, hard link or copy."""

from __future__ import annotations

from typing import Any

from mlops.data.dvc.session import DvcSession


def link_kind(session: DvcSession) -> str:
    """The first of the configured kinds that works between the cache and the project's folder: a file is
    linked in each way, and removed. Raises `DataError` for what is no data root."""

    def first_that_works(repo: Any) -> str:
        from dvc_objects.fs.generic import test_links

        cache = repo.cache.local
        cache.makedirs(cache.path)
        beside = str(session.root / "probe")  # it takes the folder that this is in
        kinds = test_links(list(cache.cache_types), cache.fs, cache.path, cache.fs, beside)
        return str(kinds[0]) if kinds else "none"

    return session.run("looking at the cache links of the", first_that_works)
