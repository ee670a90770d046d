"""The suite's own mechanics: tests of one group go to one process, so that a shared server starts once."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("groups")
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_a_group_is_part_of_the_name_that_xdist_goes_by(request: pytest.FixtureRequest) -> None:
    # xdist writes a private field of pytest's; a pytest that reads another one scatters every group.
    assert request.node.nodeid.endswith("@groups")


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_a_test_with_a_shared_server_is_of_its_group(
    request: pytest.FixtureRequest, mlflow_server: object
) -> None:
    assert mlflow_server
    assert request.node.nodeid.endswith("@mlflow_server")
