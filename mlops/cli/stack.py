"""mlops:setup, start, stop, restart: the stack as a whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from mlops.cli.context import installation
from mlops.cli.output import Json, emit, say
from mlops.entities import ServiceState, ServiceStatus


def setup(as_json: Json = False) -> None:
    """Make MLOPS_HOME: folders, secrets, the database. Safe to repeat; `mlops:start` does it too.

    Example: MLOPS_HOME=/srv/mlops efficientai-toolkit mlops:setup
    """
    from mlops.services import control

    here = installation()
    control.set_up(here)
    emit({"home": here.root}, as_json, f"Ready in {here.root}. Next: efficientai-toolkit mlops:start")


def start(as_json: Json = False) -> None:
    """Start every service and wait until all answer.

    Example: efficientai-toolkit mlops:start && efficientai-toolkit mlops:dashboard
    """
    from mlops.services import control

    here = installation()
    statuses = control.start(here, progress())
    answer = {"gateway": here.gateway_url, "mlflow": here.mlflow_url, "services": statuses}
    text = (
        f"All services answer.\nGateway, dashboard  {here.gateway_url}\nMLflow              {here.mlflow_url}"
    )
    emit(answer, as_json, text)


def stop(as_json: Json = False) -> None:
    """Stop every service; no process and no port of ours stays.

    Example: efficientai-toolkit mlops:stop
    """
    from mlops.services import control

    ran = control.stop(installation())
    emit({"stopped": ran}, as_json, "Stopped." if ran else "Nothing was running.")


def restart(
    service: Annotated[str | None, typer.Argument(help="One service; all when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Restart one service, or the whole stack.

    Example: efficientai-toolkit mlops:restart mlflow
    """
    from mlops.services import control

    here = installation()
    if service is None:
        control.stop(here)
        control.start(here, progress())
    else:
        control.restart_service(here, service, progress())
    emit({"restarted": service or "all"}, as_json, f"Restarted {service or 'all services'}.")


def progress() -> Callable[[Sequence[ServiceStatus]], None]:
    """Shows services becoming healthy, as they do: a bar on a terminal, a line each elsewhere."""
    return _Bar() if sys.stderr.isatty() else _Lines()


class _Lines:
    def __init__(self) -> None:
        self._seen: dict[str, ServiceState] = {}

    def __call__(self, statuses: Sequence[ServiceStatus]) -> None:
        for status in statuses:
            known = self._seen.get(status.name)
            if status.state is not known and status.state is not ServiceState.STOPPED:
                self._seen[status.name] = status.state
                say(f"  {status.name}: {status.state}" + (f" ({status.detail})" if status.detail else ""))


class _Bar:
    def __init__(self) -> None:
        self._done: set[str] = set()

    def __call__(self, statuses: Sequence[ServiceStatus]) -> None:
        done = {s.name for s in statuses if s.state in (ServiceState.HEALTHY, ServiceState.EXTERNAL)}
        waiting = ", ".join(status.name for status in statuses if status.name not in done)
        filled = "█" * (4 * len(done)) + "░" * (4 * (len(statuses) - len(done)))
        end = "\n" if not waiting and done != self._done else ""
        text = f"\r\x1b[2K  {filled} {len(done)}/{len(statuses)} services"
        print(text + (f", waiting for {waiting}" if waiting else ""), end=end, file=sys.stderr, flush=True)
        self._done = done


COMMANDS = {
    "mlops:setup": setup,
    "mlops:start": start,
    "mlops:stop": stop,
    "mlops:restart": restart,
}
