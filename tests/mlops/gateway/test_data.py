"""Versions of data over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from mlops.entities import DataCheck, DataVersion, RunStatus
from mlops.remote import Gateway
from mlops.store.indexed_runs import IndexedRun
from mlops.store.store import Store

HASH = "0" * 32 + ".dir"
ADDED = {"path": "data/raw", "hash": HASH, "size_bytes": 12, "files": 3, "remote": "/remote",
         "checks": [{"name": "rows", "passed": False, "detail": "2 < 3"}]}  # fmt: skip


def test_a_version_is_told_and_listed_to_those_who_may(
    admin: TestClient, alpha: TestClient, store: Store
) -> None:
    added = alpha.post("/api/projects/alpha/data", json=ADDED)
    assert added.status_code == 201
    assert added.json()["version"]["checks"] == ADDED["checks"]
    assert admin.post("/api/projects/beta/data", json=ADDED).status_code == 201
    assert {each["version"]["project"] for each in admin.get("/api/data").json()} == {"alpha", "beta"}
    assert [each["version"]["project"] for each in alpha.get("/api/data").json()] == ["alpha"]
    assert len(admin.get("/api/data?project=beta").json()) == 1
    used = DataVersion("alpha", "data/raw", HASH, 12, 3, "f00", False, "/remote")
    run = IndexedRun("a", "alpha", "first", "all", RunStatus.RUNNING, datetime.now(UTC), data=(used,))
    store.run_index.put([run])
    assert alpha.get("/api/projects/alpha/data").json()[0]["used_by"] == 1
    found = alpha.get(f"/api/projects/alpha/data/version?path=data/raw&hash={HASH}").json()
    assert [(each["id"], each["status"], each["declared"]) for each in found["runs"]] == [
        ("a", "RUNNING", False)
    ]


def test_what_cannot_be_asked_is_named(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for path, status, words in [
        ("/api/data?project=beta", 403, "beta"), ("/api/projects/beta/data", 403, "beta"),
        (f"/api/projects/beta/data/version?path=data/raw&hash={HASH}", 403, "beta"),
        (f"/api/projects/alpha/data/version?path=other&hash={HASH}", 404, "other"),
        ("/api/projects/alpha/data/version?path=data/raw", 422, "hash"),
    ]:  # fmt: skip
        with subtests.test(path=path):
            refused = alpha.get(path)
            assert (refused.status_code, words in refused.text) == (status, True)


def test_what_is_no_version_is_refused(
    admin: TestClient, alpha: TestClient, subtests: pytest.Subtests
) -> None:
    for wrong in [{"hash": "HEAD"}, {"size_bytes": -1}, {"files": "3"}, {"more": 1}, {"path": "a\0"}]:
        with subtests.test(wrong=wrong):
            assert alpha.post("/api/projects/alpha/data", json={**ADDED, **wrong}).status_code == 422
            assert alpha.post("/api/projects/beta/data", json=ADDED).status_code == 403
            assert admin.post("/api/projects/nobody/data", json=ADDED).status_code == 404
            assert admin.get("/api/data").json() == []


def test_the_client_of_the_gateway_tells_all_it_knows(alpha: TestClient, store: Store) -> None:
    gateway = Gateway("http://127.0.0.1:1", "token-of-alpha")
    gateway._http = alpha
    checks = (DataCheck("rows", True, "9"),)
    gateway.add_data(DataVersion("alpha", "a b/ü.csv", HASH[:32], 5, 1, "f00", True, "s3://x", checks))
    (known,) = store.data.all("alpha", "", 10)
    assert (known.version.path, known.version.git_revision, known.version.checks) == (
        "a b/ü.csv",
        "f00",
        checks,
    )
