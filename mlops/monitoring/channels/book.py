"""The channels of an installation: what each name stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlops.errors import ConfigError
from mlops.installation import Installation
from mlops.monitoring.channels.base import Channel
from mlops.monitoring.channels.reach import Reach
from mlops.monitoring.channels.settings import build_channel

Tables = Mapping[str, Mapping[str, Any]]
"""Channel's name -> what it states."""
_LOG: Tables = {"log": {"kind": "log"}}


class ChannelBook:
    """Opens channels by project ("" for the platform) and name. `tables_of` gives what a project's own state;
    the platform's, which the settings hold, every project may use."""

    def __init__(self, installation: Installation, tables_of: Callable[[str], Tables]) -> None:
        self._installation = installation
        self._tables_of = tables_of
        config = installation.config
        self._reach = Reach(config.alert_networks, config.alert_ca_file)

    def open(self, project: str, name: str) -> Channel:
        """The channel; raises `ConfigError` for one that is not known, is stated wrongly, or lacks a
        secret."""
        shared = {**_LOG, **self._installation.config.alert_channels}
        own = self._tables_of(project) if project else {}
        owner = project if name in own else ""
        table = own.get(name, shared.get(name))
        if table is None:
            known = sorted({*own, *shared})
            raise ConfigError(
                f"no alert channel {name!r}",
                remedy=f"Add [alerts.channels.{name}]; there are: {', '.join(known)}.",
            )
        return build_channel(
            name, table, secret_of=lambda secret: self._secret(owner, secret), reach=self._reach
        )

    def _secret(self, project: str, name: str) -> str:
        try:
            return self._installation.secret(self._installation.channel_secret_name(project, name))
        except ConfigError as error:
            where = f"--project {project}" if project else "--platform"
            raise ConfigError(
                f"the secret {name!r} of an alert channel is not set",
                remedy=f"Run `efficientai-toolkit mlops:alerts secret {name} {where}`.",
            ) from error
