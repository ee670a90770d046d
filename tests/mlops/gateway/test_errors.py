"""One table from errors to statuses, one JSON shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mlops.errors import ConfigError, MLOpsError, ServiceUnavailable, Unauthorized
from mlops.gateway.errors import STATUSES, error_response, status_of


def _all(cls: type[MLOpsError]) -> Iterator[type[MLOpsError]]:
    for child in cls.__subclasses__():
        yield child
        yield from _all(child)


def _instance(cls: type[MLOpsError]) -> MLOpsError:
    error = cls.__new__(cls)
    fields = {"path": Path("/x"), "at": datetime.now(UTC), "none": None}
    MLOpsError.__init__(error, "it went wrong", remedy="Mend it.", **fields)
    return error


# Projects have trees of their own below MLOpsError; those errors never reach the gateway.
_OURS = {cls for cls in _all(MLOpsError) if cls.__module__ == MLOpsError.__module__}


@pytest.mark.parametrize("cls", sorted(_OURS, key=lambda cls: cls.__name__))
def test_every_error_has_a_status_and_the_shape(cls: type[MLOpsError]) -> None:
    error = _instance(cls)
    assert any(base in STATUSES for base in cls.__mro__), f"{cls.__name__} needs a row"
    assert 400 <= status_of(error) < 600
    response = error_response(error)
    assert response.status_code == status_of(error)
    shape = json.loads(response.body)["error"]
    assert shape["type"] == cls.__name__
    assert (shape["message"], shape["remedy"]) == ("it went wrong", "Mend it.")
    assert shape["fields"]["path"] == "/x"


def test_headers_that_go_with_a_status() -> None:
    assert error_response(Unauthorized()).headers["www-authenticate"] == "Bearer"
    assert error_response(ServiceUnavailable("postgres")).headers["retry-after"] == "1"
    assert status_of(ConfigError("x")) == 500


def test_fault_of_ours_shows_an_id_and_no_trace(app: FastAPI, admin: TestClient, caplog) -> None:
    @app.get("/api/broken")
    def broken() -> None:
        raise RuntimeError("a secret of ours")

    answer = admin.get("/api/broken", headers={"X-Request-Id": "find-me"})
    assert answer.status_code == 500
    assert answer.json()["error"]["fields"] == {"request_id": "find-me"}
    assert "secret of ours" not in answer.text
    assert "find-me" in caplog.text
    assert "a secret of ours" in caplog.text


def test_a_new_route_is_closed_without_a_line_of_its_own(
    app: FastAPI, anonymous: TestClient, alpha: TestClient
) -> None:
    @app.get("/api/new/{project}")
    def new(project: str) -> str:
        return project

    assert anonymous.get("/api/new/alpha").status_code == 401
    assert alpha.get("/api/new/beta").status_code == 403
    assert alpha.get("/api/new/alpha").json() == "alpha"
