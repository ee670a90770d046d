"""Names that point at a version of a model."""

from __future__ import annotations

import re

from mlops.errors import InvalidName

_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,99}")
_VERSION_LIKE = re.compile(r"v\d+|latest")


def check_alias(alias: str) -> str:
    """Return `alias` if every backend takes it; raises `InvalidName`."""
    if not _ALIAS.fullmatch(alias) or _VERSION_LIKE.fullmatch(alias):
        raise InvalidName(
            "alias", alias, "lower-case letters, digits, `_` and `-`, not `latest` and not like `v1`"
        )
    return alias
