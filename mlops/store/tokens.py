"""Who may call the gateway: tokens, kept as hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects.postgresql import insert

from mlops.errors import Conflict, Forbidden, TokenNotFound
from mlops.store.tables import tokens


class Role(StrEnum):
    """What a token may do: an admin everything, a member everything of its project, and a viewer sees what a
    member sees and changes nothing."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls."""

    role: Role
    project: str | None
    """The one project of a member or a viewer; None for an admin."""
    holder: str = ""
    """The name that the token was given; "" for the project's own, and the admin's."""
    token: str = field(default="", compare=False, repr=False)
    """The token's hash."""

    def may_use(self, project: str) -> bool:
        """Whether the project is within reach."""
        return self.role is Role.ADMIN or self.project == project

    @property
    def may_change(self) -> bool:
        """Whether it may change anything of what is within reach."""
        return self.role is not Role.VIEWER

    def check_may_change(self, what: str) -> None:
        """Raises `Forbidden` for a viewer; `what` it was about to do."""
        if not self.may_change:
            raise Forbidden(
                f"{what}: its role is {self.role}, which only reads",
                remedy=f"Use a member's token of project {self.project!r}, or an admin's.",
            )

    @property
    def name(self) -> str:
        """How the audit list calls it."""
        return f"{self.project}/{self.holder}" if self.holder else self.project or self.role.value


@dataclass(frozen=True, slots=True)
class NamedToken:
    """A token of a project that was given a name; what it reads itself is not kept."""

    project: str
    name: str
    role: Role
    made_at: datetime


class Tokens:
    """The table `tokens`. Tokens are random 256-bit strings, so a plain SHA-256 is enough: there is
    nothing to guess that a slow hash would protect."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, token: str, role: Role, project: str | None = None) -> None:
        """Let a project's own token or the admin's in; the earlier one is replaced."""
        with self._engine.begin() as connection:
            connection.execute(
                delete(tokens).where(
                    tokens.c.role == role.value,
                    tokens.c.project.is_not_distinct_from(project),
                    tokens.c.name == "",
                )
            )
            connection.execute(
                insert(tokens)
                .values(hash=token_hash(token), role=role.value, project=project)
                .on_conflict_do_nothing()
            )

    def add(self, token: str, role: Role, project: str, name: str) -> None:
        """Let one more token of a project in; raises `Conflict` where the project has one of that name."""
        values = {"hash": token_hash(token), "role": role.value, "project": project, "name": name}
        statement = insert(tokens).values(values).on_conflict_do_nothing().returning(tokens.c.name)
        with self._engine.begin() as connection:
            added = connection.scalar(statement)
        if added is None:
            raise Conflict(
                f"project {project!r} has a token {name!r}",
                remedy=f"Use another name, or `efficientai-toolkit mlops:tokens revoke {name}"
                f" --project {project}` first.",
                project=project,
                name=name,
            )

    def named(self, project: str | None = None) -> list[NamedToken]:
        """Tokens with a name, of all projects or one, by project and name."""
        statement = select(tokens).where(tokens.c.name != "").order_by(tokens.c.project, tokens.c.name)
        if project is not None:
            statement = statement.where(tokens.c.project == project)
        with self._engine.connect() as connection:
            return [
                NamedToken(row.project, row.name, Role(row.role), row.created_at)
                for row in connection.execute(statement)
            ]

    def revoke(self, project: str, name: str) -> None:
        """Let a token with a name in no more; raises `TokenNotFound`."""
        is_it = (tokens.c.project == project, tokens.c.name == name, tokens.c.name != "")
        with self._engine.begin() as connection:
            gone = connection.execute(delete(tokens).where(*is_it)).rowcount
        if not gone:
            raise TokenNotFound(project, name)

    def find(self, hashed: str) -> Principal | None:
        """Who holds the token of that hash, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(select(tokens).where(tokens.c.hash == hashed)).one_or_none()
        return None if row is None else Principal(Role(row.role), row.project, row.name, hashed)

    def hashes(self) -> frozenset[str]:
        """Of all tokens that are let in."""
        with self._engine.connect() as connection:
            return frozenset(connection.scalars(select(tokens.c.hash)))


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
