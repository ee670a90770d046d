"""Data: the versions of projects' data with their checks, and who uses them."""

from __future__ import annotations

from mlops.dashboard.frame import Page, Region, Scope
from mlops.data.catalog import DataUse
from mlops.errors import InvalidInput
from mlops.platform import Platform
from mlops.store.data_versions import KnownData


def data_page(platform: Platform) -> Page:
    """`/data`: all versions of a project, or the newest one of each path of all."""

    def versions(scope: Scope) -> tuple[KnownData, ...]:
        return tuple(platform.data.versions(scope.project, scope.option("path")))

    return Page(
        path="/data",
        title="Data",
        template="data.html",
        icon="data",
        options=("path",),
        regions={"versions": Region(versions, ("data", "runs"))},
    )


def data_version_page(platform: Platform) -> Page:
    """`/data/version` of the project, path and hash that the URL names."""

    def version(scope: Scope) -> DataUse:
        if scope.project is None:
            raise InvalidInput("project", "", "is not named", remedy="Name the version's project.")
        return platform.data.version(scope.project, scope.option("path"), scope.option("hash"))

    return Page(
        path="/data/version",
        title="Data version",
        template="data_version.html",
        within="/data",
        options=("path", "hash"),
        regions={"version": Region(version, ("data", "runs"))},
    )
