"""Servers that many tests share: a pytest plugin that starts each once and stops it after its last test."""

from __future__ import annotations

import os

import pytest

_SHARED = ("stack", "ray_head", "mlflow_server", "evidently_ui", "browser")
"""Fixtures; each is also the name of the group of its tests. One that asks for it by name alone, as by a
parameter, is marked `xdist_group` itself."""


class SharedServers:
    """Sends the tests of each shared server to one process, and ends it with the last of them: idle, the
    stack alone takes a third of a core from all later tests."""

    def __init__(self) -> None:
        self._started: dict[str, tuple[pytest.FixtureDef[object], pytest.FixtureRequest]] = {}

    @pytest.hookimpl(tryfirst=True)  # before xdist names each test by its group
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give each test the group of its server."""
        for item in items:
            for fixture in _SHARED:
                if fixture in getattr(item, "fixturenames", ()):
                    item.add_marker(pytest.mark.xdist_group(fixture))
                    break

    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> None:
        """Know which run."""
        if fixturedef.argname in _SHARED:
            self._started[fixturedef.argname] = fixturedef, request

    @pytest.hookimpl(trylast=True)  # after the test's own fixtures
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Stop a server after its group, which only xdist keeps together."""
        group = _group(item)
        is_last = nextitem is None or _group(nextitem) != group
        if is_last and group in self._started and "PYTEST_XDIST_WORKER" in os.environ:
            fixturedef, request = self._started.pop(group)
            fixturedef.finish(request)


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    return marker.args[0] if marker else ""
