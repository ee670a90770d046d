"""Who may call the gateway: tokens, kept as hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects.postgresql import insert

from mlops.store.tables import tokens


class Role(StrEnum):
    """What a token may do: an admin everything, a member everything of its project."""

    ADMIN = "admin"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls."""

    role: Role
    project: str | None
    """The one project of a member; None for an admin."""

    def may_use(self, project: str) -> bool:
        """Whether the project is within reach."""
        return self.role is Role.ADMIN or self.project == project

    @property
    def name(self) -> str:
        """How the audit list calls it."""
        return self.project or self.role.value


class Tokens:
    """The table `tokens`. Tokens are random 256-bit strings, so a plain SHA-256 is enough: there is
    nothing to guess that a slow hash would protect."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, token: str, role: Role, project: str | None = None) -> None:
        """Let `token` in; a project's earlier token is replaced."""
        with self._engine.begin() as connection:
            connection.execute(
                delete(tokens).where(
                    tokens.c.role == role.value, tokens.c.project.is_not_distinct_from(project)
                )
            )
            connection.execute(
                insert(tokens)
                .values(hash=_hash(token), role=role.value, project=project)
                .on_conflict_do_nothing()
            )

    def find(self, token: str) -> Principal | None:
        """Who holds the token, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(select(tokens).where(tokens.c.hash == _hash(token))).one_or_none()
        return None if row is None else Principal(Role(row.role), row.project)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
