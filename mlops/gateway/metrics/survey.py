"""All that one caller may see, gathered from the platform."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from mlops.entities import Deployment, DriftJob
from mlops.gateway.metrics.availability import availability_families
from mlops.gateway.metrics.deployments import deployment_families
from mlops.gateway.metrics.drift import drift_families
from mlops.gateway.metrics.hardware import machine_families
from mlops.gateway.metrics.inferences import inference_families, log_families
from mlops.gateway.metrics.projects import project_families
from mlops.gateway.metrics.services import build_families, service_families, source_families
from mlops.gateway.sources import Source
from mlops.platform import Platform
from mlops.store.figures import Figures
from mlops.store.tokens import Principal


@dataclass(frozen=True, slots=True)
class Kept:
    """What the platform's database knows."""

    figures: Figures
    deployments: Sequence[Deployment]
    drift: Sequence[DriftJob]
    """The newest report of each trigger, by deployment."""


class Survey:
    """Figures of a platform. What blocks is a `Source`, shared by all callers; each sees its part of it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._postgres = Source(
            "postgres",
            lambda: Kept(platform.figures(), platform.deployments(), platform.drift.newest()),
        )
        self._services = Source("services", platform.services)
        self._hardware = Source("hardware", platform.machine)

    async def families(self, caller: Principal) -> list[Metric]:
        """What the caller may see: a project's token its project, any other all projects, the services and
        the machine as well. Raises nothing, and takes `PATIENCE_S` at most."""
        if caller.project is not None:
            return list(self._of_projects(caller, await self._postgres.read(), {}))
        kept, services, machine = await asyncio.gather(
            self._postgres.read(), self._services.read(), self._hardware.read()
        )
        answered = {"services": services is not None, "hardware": machine is not None}
        found = list(self._of_projects(caller, kept, answered))
        if services is not None:
            found += [*service_families(services), *availability_families(services)]
        if machine is not None:
            found += machine_families(machine)
        return [*build_families(), *found]

    def _of_projects(
        self, caller: Principal, kept: Kept | None, answered: dict[str, bool]
    ) -> Iterator[Metric]:
        yield from source_families({"postgres": kept is not None, **answered})
        loads = self._platform.loads()
        yield from inference_families(load for load in loads if caller.may_use(load.deployment.project))
        yield from log_families(self._platform.logged())
        if kept is None:
            return
        seen = [name for name in kept.figures.projects if caller.may_use(name)]
        yield from project_families(kept.figures, seen if caller.project is not None else ["", *seen])
        yield from deployment_families(
            (each for each in kept.deployments if caller.may_use(each.project)), kept.figures.replicas
        )
        yield from drift_families(
            (each for each in kept.drift if caller.may_use(each.project)),
            {key: count for key, count in kept.figures.drift_reports.items() if caller.may_use(key[0])},
        )
