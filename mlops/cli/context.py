"""What every command begins with: the settings, the installation, the project meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops.project import check_project_name, find_project

if TYPE_CHECKING:
    from mlops.client import MLOpsClient
    from mlops.installation import Installation
    from mlops.remote import Gateway
    from mlops.workspace import Workspace


def installation() -> Installation:
    """The installation that the environment names."""
    # Imported here: pydantic alone takes longer than all of `--help` may.
    from mlops.config import MLOpsConfig
    from mlops.installation import Installation

    return Installation(MLOpsConfig.load())


def project_name(given: str | None) -> str:
    """The project given, or that of the folder we are in; raises `ProjectNotFound`, `InvalidName`."""
    return check_project_name(given) if given is not None else find_project(Path.cwd()).name


def workspace(given: str | None) -> Workspace:
    """The workspace of that project."""
    from mlops.workspace import Workspace

    return Workspace.open(project_name(given), installation())


def client(given: str | None) -> MLOpsClient:
    """The client of that project."""
    from mlops.client import MLOpsClient

    return MLOpsClient.from_project(project_name(given), config=installation().config)


def admin_gateway() -> Gateway:
    """The gateway, as the administrator of this machine."""
    from mlops.remote import Gateway

    here = installation()
    return Gateway(here.gateway_url, here.secret("admin_token"))
