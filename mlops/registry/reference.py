"""`name`, `name:3` and `name@alias`: how people name a version of a model."""

from __future__ import annotations

import re

from mlops.entities import ModelVersion
from mlops.errors import InvalidInput, ModelNotFound, NotFound
from mlops.project import check_model_name
from mlops.registry.base import ModelRegistry

_REFERENCE = re.compile(r"(?P<name>[^:@]+)(?::(?P<version>[0-9]{1,9})|@(?P<alias>.+))?")


def find_version(registry: ModelRegistry, project: str, given: str) -> ModelVersion:
    """The version that is meant; of a name alone, the newest. Raises `InvalidInput`, `InvalidName`,
    `ModelNotFound`, and `NotFound` for an alias that none has."""
    parts = _REFERENCE.fullmatch(given)
    if parts is None:
        raise InvalidInput("model", given, "names no model", remedy="Give name, name:version or name@alias.")
    name = check_model_name(parts["name"])
    if parts["version"]:
        return registry.get_version(name, int(parts["version"]))
    versions = registry.list_versions(name)
    if not versions:  # they were deleted, or none was made
        raise ModelNotFound(project, name)
    found = [each for each in versions if not parts["alias"] or parts["alias"] in each.aliases]
    if not found:
        aliases = sorted({alias for each in versions for alias in each.aliases})
        raise NotFound(
            f"no version of model {name!r} in project {project!r} has the alias {parts['alias']!r}",
            remedy=f"Its aliases: {', '.join(aliases) or 'none'}. Or give {name}:{versions[0].version}.",
            project=project,
            name=name,
            alias=parts["alias"],
        )
    return found[0]
