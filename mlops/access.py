"""Further tokens of a project: for a colleague, or for a program that only reads."""

from __future__ import annotations

import re
import secrets

from mlops.errors import InvalidInput, InvalidName
from mlops.store.store import Store
from mlops.store.tokens import Role

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
_NAME_RULE = (
    "1 to 40 lower-case letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit"
)
ROLES = (Role.VIEWER, Role.MEMBER)
"""That a token of a project may have."""


def add_token(store: Store, project: str, name: str, role: str) -> str:
    """Make a token of a project under a name, and return it: only its hash is kept.

    Raises `InvalidName`, `InvalidInput` for a role that is none of `ROLES`, `ProjectNotFound`, `Conflict`
    where the project has a token of that name, `ServiceUnavailable`.
    """
    if not _NAME.fullmatch(name):
        raise InvalidName("name", name, _NAME_RULE)
    if role not in ROLES:
        raise InvalidInput("role", role, "is none of a project's", remedy=f"Use one of: {', '.join(ROLES)}.")
    store.projects.get(project)
    token = secrets.token_urlsafe(32)
    store.tokens.add(token, Role(role), project, name)
    store.audit.record("admin", "add token", project, name=name, role=role)
    return token


def revoke_token(store: Store, project: str, name: str) -> None:
    """Let a token in no more, nor the sessions that began with it: the gateway knows within five seconds.

    Raises `ProjectNotFound`, `TokenNotFound`, `ServiceUnavailable`.
    """
    store.projects.get(project)
    store.tokens.revoke(project, name)
    store.audit.record("admin", "revoke token", project, name=name)
