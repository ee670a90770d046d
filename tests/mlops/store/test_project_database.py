"""A database of a project's own, on a real Postgres."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from mlops.config import MLOpsConfig
from mlops.errors import InvalidInput, ServiceUnavailable
from mlops.installation import Installation
from mlops.store.project_database import project_database


def query(url: str, text: str):
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(text)
        return found.fetchall() if found.description else None


def test_it_is_made_once_and_keeps_what_was_written(database_installation: Installation) -> None:
    url = project_database(database_installation, "alpha", "alpha", "optuna")
    query(url, "CREATE TABLE kept (value int)")
    query(url, "INSERT INTO kept VALUES (7)")
    assert project_database(database_installation, "alpha", "alpha", "optuna") == url
    assert query(url, "SELECT value FROM kept") == [(7,)]
    assert query(url, "SELECT current_user, current_database()") == [("alpha.optuna", "alpha.optuna")]
    secret = database_installation.secret_file("project.alpha.database.optuna")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_its_role_enters_no_other_database(database_installation: Installation) -> None:
    ours = project_database(database_installation, "alpha", "alpha", "studies")
    project_database(database_installation, "beta", "beta", "studies")
    parts = urlsplit(ours)
    for other in ("mlops", "mlflow", "beta.studies", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(parts._replace(path=f"/{other}").geturl()).close()
    assert query(database_installation.database_url("mlops"), "SELECT 1") == [(1,)], "the platform still may"


def test_several_at_once_make_one(database_installation: Installation) -> None:
    with ThreadPoolExecutor(4) as pool:
        urls = set(
            pool.map(lambda _: project_database(database_installation, "gamma", "gamma", "many"), range(4))
        )
    assert len(urls) == 1
    assert query(urls.pop(), "SELECT 1") == [(1,)]


def test_on_a_server_elsewhere_only_our_databases_are_closed(
    database_installation: Installation, tmp_path: Path
) -> None:
    admin = database_installation.database_url("mlops")
    query(admin, "GRANT CONNECT ON DATABASE postgres, mlops, mlflow TO PUBLIC")
    elsewhere = Installation(MLOpsConfig(home=tmp_path / "home", database_url=admin))
    elsewhere.prepare()
    try:
        url = project_database(elsewhere, "delta", "delta", "optuna")
        assert query(url, "SELECT current_database()") == [("delta.optuna",)]
        may = "SELECT has_database_privilege('delta.optuna', datname, 'CONNECT') FROM pg_database"
        found = query(admin, f"{may} WHERE datname IN ('mlflow', 'mlops', 'postgres') ORDER BY datname")
        assert found == [(False,), (False,), (True,)]
    finally:
        query(admin, "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")


@pytest.mark.parametrize("name", ["", "Optuna", "a-b", "1st", "x" * 40, 'a"; DROP'])
def test_what_is_no_name_is_refused(database_installation: Installation, name: str) -> None:
    with pytest.raises(InvalidInput, match="is no name for a database"):
        project_database(database_installation, "alpha", "alpha", name)


def test_a_server_that_is_down_is_named(tmp_path: Path) -> None:
    installation = Installation(MLOpsConfig(home=tmp_path / "home"))
    installation.prepare()
    installation.choose_ports(["postgres"])
    with pytest.raises(ServiceUnavailable, match="postgres does not answer"):
        project_database(installation, "alpha", "alpha", "optuna")
