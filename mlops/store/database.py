"""Connection and migration of the database `mlops`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

# Any fixed number: one migration at a time, whoever starts first (gateway, worker, command line).
_MIGRATION_LOCK = 7_201_811


def connect(url: str) -> Engine:
    """An engine over psycopg 3; connections are checked before use, so a Postgres restart is survived."""
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=4,
        connect_args={"connect_timeout": 5, "application_name": "mlops"},
    )


def upgrade(engine: Engine) -> None:
    """Bring the tables to the newest migration; safe from several processes at once."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
