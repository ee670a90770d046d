"""The embedded Postgres."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from mlops.config import MLOpsConfig
from mlops.errors import DataDirectoryBroken
from mlops.installation import Installation
from mlops.services import postgres
from mlops.services.unprivileged import Guise


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    made = Installation(MLOpsConfig(home=private / "home"))
    made.prepare()
    return made


def test_has_the_platforms_databases(database_installation: Installation) -> None:
    with psycopg.connect(database_installation.database_url("postgres")) as connection:
        names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
    assert {"mlops", "mlflow"} <= names


def test_refuses_a_wrong_password(database_installation: Installation) -> None:
    url = database_installation.database_url("mlops").replace("mlops:", "mlops:wrong", 1)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_password_is_in_no_argument(database_installation: Installation) -> None:
    command = postgres.service(database_installation, 20100).command
    assert not any(database_installation.secret("postgres_password") in word for word in command)


def test_initialise_is_repeatable_inside_a_private_folder(installation: Installation) -> None:
    postgres.initialise(installation)
    stamp = (installation.postgres_dir / "PG_VERSION").stat().st_mtime_ns
    postgres.initialise(installation)
    assert (installation.postgres_dir / "PG_VERSION").stat().st_mtime_ns == stamp
    assert not list(installation.root.glob(".initdb-*"))


def test_half_made_directory_is_explained(installation: Installation) -> None:
    installation.postgres_dir.mkdir()
    (installation.postgres_dir / "PG_VERSION").write_text("18\n")
    with pytest.raises(DataDirectoryBroken, match="not a whole data directory") as caught:
        postgres.initialise(installation)
    assert "mv " in caught.value.remedy


def test_directory_of_another_version_is_explained(installation: Installation) -> None:
    postgres.initialise(installation)
    (installation.postgres_dir / "PG_VERSION").write_text("12\n")
    with pytest.raises(DataDirectoryBroken, match="PostgreSQL 12"):
        postgres.initialise(installation)


def test_probe_does_not_take_another_server_for_ours(database_installation: Installation) -> None:
    problem = postgres.check(
        database_installation.database_url("postgres"), database_installation.postgres_dir, frozenset([1])
    )
    assert problem is not None
    assert "not our process" in problem


def test_stale_lock_of_another_program_is_dropped(installation: Installation) -> None:
    installation.postgres_dir.mkdir()
    lock = installation.postgres_dir / "postmaster.pid"
    lock.write_text("1\n")
    before_spawn = postgres.service(installation, 20100).before_spawn
    assert before_spawn is not None
    before_spawn()
    assert not lock.exists()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_root_without_user_namespaces_runs_it_as_nobody(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outside = Path(tempfile.mkdtemp(prefix="mlops-outside-"))
    outside.chmod(0o755)
    as_nobody = Guise(("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"), uid=65534)
    monkeypatch.setattr(postgres, "guise", lambda service: as_nobody)
    monkeypatch.setattr(postgres, "_OUTSIDE", outside)
    postgres._install_dir.cache_clear()
    try:
        postgres.initialise(installation)
        assert postgres.examine(installation)
        service = postgres.service(installation, installation.choose_ports(["postgres"])["postgres"])
        process = subprocess.Popen(service.command, stderr=subprocess.DEVNULL)
        try:
            while (problem := service.probe(frozenset([process.pid]))) is not None:
                assert process.poll() is None, problem
            assert psutil.Process(process.pid).uids().real == 65534
        finally:
            process.send_signal(service.stop_signal)
            process.wait(20)
        assert not installation.postgres_dir.exists()
        installation.postgres_dir.mkdir()
        assert postgres.examine(installation), "what is outside is used as long as it is there"
        shutil.rmtree(postgres.data_dir(installation))
        with pytest.raises(DataDirectoryBroken, match="namespaces"):
            postgres.initialise(installation)
    finally:
        postgres._install_dir.cache_clear()
        shutil.rmtree(outside)
