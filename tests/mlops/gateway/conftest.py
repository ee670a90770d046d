"""The gateway in this process, over the platform of tests/mlops/conftest.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mlops.gateway.app import create_app
from mlops.platform import Platform
from mlops.store.store import Store
from mlops.store.tokens import Role


@pytest.fixture
def app(platform: Platform, add_project: Callable[..., str], compiled_templates: None) -> FastAPI:
    """The app of a platform with the projects alpha and beta."""
    add_project("alpha")
    add_project("beta")
    return create_app(platform)


@pytest.fixture
def anonymous(app: FastAPI, platform: Platform) -> Iterator[TestClient]:
    """A client without a token, of a gateway that is ready."""
    with TestClient(app, base_url=platform.addresses.gateway, follow_redirects=False) as client:
        deadline = time.monotonic() + 60
        while not platform.is_prepared:
            assert time.monotonic() < deadline, "the platform was not prepared"
            time.sleep(0.02)
        yield client


@pytest.fixture
def client_of(anonymous: TestClient, app: FastAPI) -> Callable[[str], TestClient]:
    """A client with a token; it shares the running app."""

    def client(token: str) -> TestClient:
        made = TestClient(
            app,
            base_url=str(anonymous.base_url),
            headers={"Authorization": f"Bearer {token}"},
            follow_redirects=False,
        )
        made.portal = anonymous.portal  # the loop that the router's connections belong to
        return made

    return client


@pytest.fixture
def admin(client_of: Callable[[str], TestClient]) -> TestClient:
    """May everything."""
    return client_of("token-of-the-admin")


@pytest.fixture
def alpha(client_of: Callable[[str], TestClient]) -> TestClient:
    """A member of alpha."""
    return client_of("token-of-alpha")


@pytest.fixture
def viewer(client_of: Callable[[str], TestClient], store: Store) -> TestClient:
    """A viewer of alpha."""
    store.tokens.add("token-of-a-viewer", Role.VIEWER, "alpha", "grafana")
    return client_of("token-of-a-viewer")
