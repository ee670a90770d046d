"""Migrations of a database with rows, there and back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

import mlops.store
from mlops.errors import SchemaMismatch
from mlops.installation import Installation
from mlops.store.database import connect, upgrade
from mlops.store.inferences import Inferences
from mlops.store.partitions import Partitions
from mlops.store.run_query import RunQuery
from mlops.store.store import Store
from mlops.store.tables import metadata

Migrate = Callable[[str], None]


@pytest.fixture
def fresh(database_installation: Installation) -> Iterator[Engine]:
    """Of an empty database that is gone after the test."""
    name = f"migrated_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database_installation.database_url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        made = connect(database_installation.database_url(name))
        yield made
        made.dispose()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def migrate(fresh: Engine) -> Migrate:
    """Brings the database to a revision, from wherever it is."""

    def to(revision: str) -> None:
        config = Config()
        config.set_main_option("script_location", f"{mlops.store.__path__[0]}/migrations")
        with fresh.begin() as connection:
            config.attributes["connection"] = connection
            current = MigrationContext.configure(connection).get_current_revision() or ""
            (command.upgrade if current < revision else command.downgrade)(config, revision)

    return to


def fill(engine: Engine, *ages_days: float) -> list[datetime]:
    """An inference of each age, by an INSERT as revision 0003 knows it; the project is there afterwards."""
    times = [datetime.now(UTC) - timedelta(days=days) for days in ages_days]
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO projects VALUES ('alpha', 'alpha', '/', '1', '/') ON CONFLICT DO NOTHING")
        )
        for at in times:
            connection.execute(
                text(
                    "INSERT INTO inferences (at, project, model, version, side, request_id, status,"
                    " latency_s, features)"
                    " VALUES (:at, 'alpha', 'depth', 1, 'champion', 'r', 200, 0.1, '{\"rows\": 1}')"
                ),
                {"at": at},
            )
    return times


def rows(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT * FROM inferences ORDER BY id"))]


def add_now(engine: Engine, at: datetime | None = None) -> None:
    row = {
        "at": at or datetime.now(UTC), "project": "alpha", "model": "depth", "version": 2, "side": "canary",
        "request_id": "new", "status": 200, "latency_s": 0.1, "features": None,
    }  # fmt: skip
    Inferences(engine).add([row])


def is_partition(_: object, name: str | None, kind: str, *__: object) -> bool:
    return not (kind == "table" and str(name).startswith("inferences_"))


def test_the_tables_are_those_that_the_migrations_leave(fresh: Engine) -> None:
    upgrade(fresh)
    Partitions(fresh).make_ahead()
    with fresh.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_partition})
        assert compare_metadata(context, metadata) == []


def test_tables_of_an_older_version_are_told_as_such(fresh: Engine, migrate: Migrate) -> None:
    with closing(Store(fresh.url.render_as_string(hide_password=False))) as store:
        with pytest.raises(SchemaMismatch, match=r'another version.*"runs" does not exist'):
            store.runs.search(RunQuery())
        migrate("0004")
        with pytest.raises(SchemaMismatch, match=r"column .* does not exist") as caught:
            store.runs.search(RunQuery())
        assert "mlops:start" in caught.value.remedy
        store.upgrade()
        assert store.runs.search(RunQuery()) == ([], None)


def test_what_was_logged_stays_as_it_is_when_the_log_gets_partitions(fresh: Engine, migrate: Migrate) -> None:
    migrate("0003")
    fill(fresh, 40, 3, 0.5, 0)
    before = rows(fresh)
    migrate("0004")
    assert rows(fresh) == before
    (only,) = Partitions(fresh).all()
    assert (only.name, only.began) == ("inferences_before", None)
    assert only.holds(datetime.now(UTC))
    add_now(fresh)
    add_now(fresh, datetime.now(UTC) + timedelta(days=2))
    assert len({row[0] for row in rows(fresh)}) == 6, "ids go on"
    assert len(Partitions(fresh).all()) == 2
    with fresh.begin() as connection:
        connection.execute(text("DELETE FROM projects"))
    assert rows(fresh) == []


def test_rows_of_tomorrow_are_in_the_first_partition_too(fresh: Engine, migrate: Migrate) -> None:
    migrate("0003")
    (at,) = fill(fresh, -10)
    migrate("0004")
    (only,) = Partitions(fresh).all()
    assert only.holds(at)
    assert not only.holds(at + timedelta(days=1))


def test_an_empty_log_gets_partitions_as_they_are_needed(fresh: Engine, migrate: Migrate) -> None:
    migrate("0003")
    migrate("0004")
    assert Partitions(fresh).all() == []
    fill(fresh)
    add_now(fresh)
    assert len(rows(fresh)) == 1


def test_the_log_goes_back_to_one_table_with_all_its_rows(fresh: Engine, migrate: Migrate) -> None:
    migrate("0003")
    fill(fresh, 5, 0)
    migrate("0004")
    for days in (90, 1, 0, -3):
        add_now(fresh, datetime.now(UTC) - timedelta(days=days))
    partitioned = rows(fresh)
    assert len(partitioned) == 6
    migrate("0003")
    assert rows(fresh) == partitioned
    fill(fresh, 0)
    assert len({row[0] for row in rows(fresh)}) == 7, "ids go on"
    migrate("0004")
    assert rows(fresh)[:6] == partitioned
    migrate("0003")
    with fresh.begin() as connection:
        connection.execute(text("DELETE FROM projects"))
    assert rows(fresh) == []


def test_runs_are_indexed_anew_there_and_back(fresh: Engine, migrate: Migrate) -> None:
    migrate("0008")
    fill(fresh)
    put = (
        "INSERT INTO runs (id, project, name, status, started_at) VALUES ('a', 'alpha', '', 'RUNNING', now())"
    )
    for revision in ("0009", "0008", "0009"):
        with fresh.begin() as connection:
            connection.execute(text(put))
        migrate(revision)
        with fresh.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM runs")) == 0


def test_followed_aliases_stay_when_models_are_indexed(fresh: Engine, migrate: Migrate) -> None:
    migrate("0009")
    fill(fresh)
    with fresh.begin() as connection:
        connection.execute(text("INSERT INTO followed_aliases VALUES ('alpha', 'depth', 7)"))
    for revision in ("0012", "0009", "0012"):
        migrate(revision)
        with fresh.connect() as connection:
            assert connection.scalar(text("SELECT stamp FROM followed_aliases")) == 7
    with fresh.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM model_versions")) == 0


def test_what_indexed_runs_used_is_read_after_the_migration(fresh: Engine, migrate: Migrate) -> None:
    migrate("0009")
    with fresh.begin() as connection:
        connection.execute(text("INSERT INTO run_index (id, source, horizon) VALUES (1, 'x', 7)"))
    for revision in ("0013", "0009", "0013"):
        migrate(revision)
    with fresh.connect() as connection:
        assert connection.scalar(text("SELECT rebuild_asked_at FROM run_index")) is not None


def test_tokens_without_a_name_stay_and_those_with_one_go_with_it(fresh: Engine, migrate: Migrate) -> None:
    migrate("0013")
    with fresh.begin() as connection:
        connection.execute(text("INSERT INTO projects VALUES ('alpha', 'alpha', '/', '1', '/')"))
        connection.execute(text("INSERT INTO tokens (hash, role, project) VALUES ('h', 'member', 'alpha')"))
    migrate("0014")
    named = text("INSERT INTO tokens (hash, role, project, name) VALUES (:hash, 'viewer', 'alpha', 'ada')")
    with fresh.begin() as connection:
        assert connection.scalar(text("SELECT name FROM tokens")) == ""
        connection.execute(named, {"hash": "i"})
    with pytest.raises(IntegrityError), fresh.begin() as connection:
        connection.execute(named, {"hash": "j"})
    migrate("0013")
    with fresh.connect() as connection:
        assert connection.execute(text("SELECT hash FROM tokens")).all() == [("h",)]


def test_an_index_stays_when_it_may_be_polled(fresh: Engine, migrate: Migrate) -> None:
    migrate("0013")
    fill(fresh)
    with fresh.begin() as connection:
        connection.execute(text("INSERT INTO indexed_projects VALUES ('alpha', 'alpha')"))
    for revision in ("0015", "0013", "0015"):
        migrate(revision)
    with fresh.connect() as connection:
        (row,) = connection.execute(text("SELECT namespace, read_at, problem FROM indexed_projects"))
    assert tuple(row) == ("alpha", None, "")
