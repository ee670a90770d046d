"""A database of a project's own on the platform's Postgres, for tools that keep their state in SQL.

It belongs to a role of the same name, which may enter no other database: neither the platform's nor MLflow's,
which the public may not enter either. On a server elsewhere, databases that are not ours stay as they are.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from mlops.errors import InvalidInput, ServiceUnavailable
from mlops.installation import Installation

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_OURS = ("mlops", "mlflow")
_EMBEDDED = (*_OURS, "postgres", "template1")
_LOCK = 7_201_812
_MOST_BYTES = 63


def project_database(installation: Installation, project: str, namespace: str, name: str) -> str:
    """The URL, with its password, of the database `<namespace>.<name>`, which is made where it is missing.

    The password is a secret of the project. Raises `InvalidInput` for a name that is none,
    `ServiceUnavailable` when the server does not answer or does not let us.
    """
    role = f"{namespace}.{name}"
    if not _NAME.fullmatch(name) or len(role.encode()) > _MOST_BYTES:
        raise InvalidInput(
            "name", name, "is no name for a database",
            remedy="Use small letters, digits and `_`, a letter first, at most 31; with the project 63.",
        )  # fmt: skip
    password = installation.make_secret(installation.project_secret_name(project, f"database.{name}"))
    try:
        with psycopg.connect(
            installation.database_url("postgres"), autocommit=True, connect_timeout=10
        ) as connection:
            # Of two processes that come at once, the second finds what the first has made.
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            _make_role(connection, role, password)
            _make_database(connection, role)
            for database in _EMBEDDED if installation.config.database_url is None else _OURS:
                _close(connection, database)
    except psycopg.Error as error:
        raise ServiceUnavailable("postgres", str(error).strip().splitlines()[0]) from error
    return _url(installation, role, password)


def _make_role(connection: psycopg.Connection, role: str, password: str) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = sql.SQL("ALTER" if known else "CREATE")
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), sql.Literal(password))
    )


def _make_database(connection: psycopg.Connection, role: str) -> None:
    if _is_there(connection, role):
        return
    # Who makes a database for another must be a member of that role, a superuser aside.
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
    connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(role)))
    _close(connection, role)


def _is_there(connection: psycopg.Connection, database: str) -> bool:
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
    return found.fetchone() is not None


def _close(connection: psycopg.Connection, database: str) -> None:
    """Let the public not enter; its owner and superusers may. Another's database is left as it is."""
    if not _is_there(connection, database):
        return
    try:
        connection.execute(
            sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database))
        )
    except psycopg.errors.InsufficientPrivilege:
        return


def _url(installation: Installation, role: str, password: str) -> str:
    parts = urlsplit(installation.database_url(role))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{quote(password, safe='')}@{host}"))
