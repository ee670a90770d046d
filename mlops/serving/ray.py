"""Ray Serve as the model server: one Serve application for each deployment, replicas reached directly."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops.cluster import serve_environment
from mlops.entities import Deployment
from mlops.errors import ServiceUnavailable
from mlops.installation import LOOPBACK
from mlops.serving.base import Phase, ReplicaLimits, Served
from mlops.serving.ingress import ReplicaLogs, ReplicaOrder, replica_class
from mlops.serving.replica import ReplicaOptions

if TYPE_CHECKING:
    from mlops.serving.base import ModelServer

T = TypeVar("T")

_NAMESPACE = "mlops"
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - of the nodes of a cluster
# Seconds. Connecting includes starting Serve's controller.
_PROBE_TIMEOUT, _CALL_TIMEOUT, _CONNECT_TIMEOUT = 1.0, 8.0, 60.0
_HEALTH_PERIOD, _HEALTH_TIMEOUT, _DRAIN = 2.0, 10.0, 10.0
# Requests at a time that keep a replica's two threads busy, and how long, in s, more or less must last.
_TARGET_ONGOING, _GROW_AFTER, _SHRINK_AFTER = 3, 3.0, 60.0


class RayModelServer:
    """The driver of one Ray cluster; a process can have one.

    `address` is the `host:port` of the GCS, `token` what every Ray client sends, `secret` what the
    replicas demand. The head needs `mlops.cluster.head_environment`. Applications are called
    `mlops-<installation>-<number>`: those of another `installation` (letters and digits) on the
    cluster are neither seen nor touched.

    Once a session that was there is lost, `lost` stays true and every verb raises: Ray does not let a
    process go cleanly, so its owner ends and is started anew."""

    def __init__(
        self,
        address: str,
        *,
        token: str,
        secret: str,
        installation: str,
        otlp_endpoint: str | None = None,
        logs: ReplicaLogs | None = None,
    ) -> None:
        self._address = address
        self._token = token
        self._secret = secret
        self._otlp_endpoint = otlp_endpoint
        self._logs = logs
        self._prefix = f"mlops-{installation}-"
        self._client: Any = None
        self._environment: dict[str, str] = {}
        self.lost = False

    def deploy(self, deployment: Deployment, bento: Path, limits: ReplicaLimits) -> None:
        """See `ModelServer.deploy`."""
        order = ReplicaOrder(
            bento=str(bento),
            options=ReplicaOptions(
                self._secret, limits.threads, max_batch=limits.max_batch, otlp_endpoint=self._otlp_endpoint
            ),
            memory_mb=limits.memory_mb,
            loopback=self._is_local,
            logs=self._logs
            and replace(
                self._logs, project=deployment.project, model=deployment.model, version=deployment.version
            ),
        )
        name = self._application(deployment.id)
        self._call(lambda: _run(name, deployment, order, limits))

    def remove(self, deployment_id: int) -> None:
        """See `ModelServer.remove`."""
        name = self._application(deployment_id)
        self._call(lambda: _delete(name))

    def served(self) -> dict[int, Served]:
        """See `ModelServer.served`."""
        return self._call(self._served)

    def close(self) -> None:
        """See `ModelServer.close`."""
        for name in self._environment:
            os.environ.pop(name, None)
        self._environment = {}
        if self._client is not None and not self.lost:
            import ray

            ray.shutdown()
        self._client = None

    # -- the session ----------------------------------------------------------------------------

    @property
    def _is_local(self) -> bool:
        return self._host_and_port[0] in (LOOPBACK, "localhost", "::1")

    @property
    def _bind_host(self) -> str:
        # Replicas on other machines must be reached from here; they answer nobody without the secret.
        return LOOPBACK if self._is_local else _EVERY_ADDRESS

    @property
    def _host_and_port(self) -> tuple[str, int]:
        host, _, port = self._address.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    def _call(self, verb: Callable[[], T]) -> T:
        if self.lost:
            raise ServiceUnavailable("ray", "the session was lost")
        # Before Ray is looked for: at a start, the seconds of this import pass while the head comes up.
        self._load()
        self._probe()
        try:
            if self._client is None:
                self._client = _in_time(self._connect, _CONNECT_TIMEOUT)
            return _in_time(verb, _CALL_TIMEOUT)
        except Exception as error:
            if not _is_rays(error):
                raise
            # Serve's controller is restarted by Ray (`ActorUnavailableError`); anything else is final.
            self.lost = type(error).__name__ != "ActorUnavailableError"
            raise ServiceUnavailable("ray", f"{type(error).__name__}: {error}") from None

    def _load(self) -> None:
        if self._environment:
            return
        # Ray reads these, and has no other way to be told them. `close` takes them back.
        self._environment = serve_environment(loopback=self._is_local, token=self._token)
        os.environ.update(self._environment)
        import ray
        import ray.serve  # noqa: F401 - loaded here, used later

        # What Serve tells its driver is told by `served`.
        logging.getLogger("ray.serve").setLevel(logging.ERROR)

    def _probe(self) -> None:
        # A connection attempt by Ray itself to a head that is gone blocks for a minute and more.
        try:
            socket.create_connection(self._host_and_port, _PROBE_TIMEOUT).close()
        except OSError as error:
            self.lost = self._client is not None
            raise ServiceUnavailable("ray", str(error)) from None

    def _connect(self) -> Any:
        import ray
        from ray import serve
        from ray.serve.config import HTTPOptions
        from ray.serve.context import _get_global_client
        from ray.serve.schema import LoggingConfig

        try:
            ray.init(
                address=self._address,
                namespace=_NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
            )
            serve.start(
                http_options=HTTPOptions(host=self._bind_host, port=_free_port()),
                proxy_location="HeadOnly",
                logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
            )
            return _get_global_client()
        except Exception as error:
            ray.shutdown()  # half a session would be in the way of the next try
            raise ServiceUnavailable("ray", f"{type(error).__name__}: {error}") from error

    # -- reading ----------------------------------------------------------------------------------

    def _served(self) -> dict[int, Served]:
        from ray import serve

        applications = serve.status().applications  # first: what runs by it has its URLs below
        urls = self._urls()
        return {
            number: _judge(status, urls.get(name, ()))
            for name, status in applications.items()
            if (number := self._number(name)) is not None
        }

    def _application(self, deployment_id: int) -> str:
        return f"{self._prefix}{deployment_id}"

    def _number(self, application: str) -> int | None:
        # The deployment of an application; None for what is not ours.
        number = application.removeprefix(self._prefix)
        return int(number) if number != application and re.fullmatch("[0-9]{1,18}", number) else None

    def _urls(self) -> dict[str, tuple[str, ...]]:
        import ray

        groups = ray.get(self._client._controller.get_target_groups.remote(), timeout=_CALL_TIMEOUT)
        return {
            group.app_name: tuple(
                sorted(f"http://{target.ip}:{target.port}{group.route_prefix}" for target in group.targets)
            )
            for group in groups
            # With no replica running yet, the targets are Serve's proxies.
            if group.app_name and all("REPLICA" in target.name for target in group.targets)
        }


def deployment_options(deployment: Deployment, limits: ReplicaLimits) -> dict[str, Any]:
    """How Ray Serve runs a deployment's replicas, in the words of its config files: JSON-friendly, each
    within the `limits`. Times are in s."""
    return {
        "name": f"{deployment.model}-{deployment.version}",
        **_scale(deployment),
        "ray_actor_options": {"num_cpus": limits.cpus, "memory": limits.memory_mb * 10**6},
        "max_ongoing_requests": limits.max_ongoing,
        "max_surge_percent": 100,
        "health_check_period_s": _HEALTH_PERIOD,
        "health_check_timeout_s": _HEALTH_TIMEOUT,
        "graceful_shutdown_timeout_s": _DRAIN,
        "graceful_shutdown_wait_loop_s": 0.5,
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
    }


def _run(name: str, deployment: Deployment, order: ReplicaOrder, limits: ReplicaLimits) -> None:
    from ray import serve

    bound: Any = replica_class(lambda: order).options(**deployment_options(deployment, limits))
    serve.run_many(
        [serve.RunTarget(bound.bind(), name=name, route_prefix=f"/{name}")],
        wait_for_ingress_deployment_creation=False,
        wait_for_applications_running=False,
    )


def _scale(deployment: Deployment) -> dict[str, Any]:
    if deployment.most_replicas is None:
        return {"num_replicas": deployment.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": deployment.replicas,
            "max_replicas": deployment.most_replicas,
            "initial_replicas": deployment.replicas,
            "target_ongoing_requests": _TARGET_ONGOING,
            "upscale_delay_s": _GROW_AFTER,
            "downscale_delay_s": _SHRINK_AFTER,
        }
    }


def _delete(name: str) -> None:
    from ray import serve

    serve.delete(name, _blocking=False)


def _judge(status: Any, urls: tuple[str, ...]) -> Served:
    from ray.serve.schema import ApplicationStatus as State

    message = "\n".join(
        [status.message, *(part.message for part in status.deployments.values() if part.message)]
    )
    if status.status is State.RUNNING and urls:
        return Served(Phase.RUNNING, urls)
    if status.status is State.DEPLOY_FAILED:
        return Served(Phase.FAILED, urls, message.strip())
    if status.status is State.DELETING:
        return Served(Phase.STOPPING, urls)
    return Served(Phase.STARTING, urls, message.strip())


def _in_time(verb: Callable[[], T], seconds: float) -> T:
    """Run `verb` in a thread of its own: Ray's calls take no deadline, and one that hangs must not
    hang the caller. Raises `TimeoutError` after `seconds` (Ray's own time-outs are such, too)."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(verb())
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failure.append(error)

    thread = threading.Thread(target=work, name="ray-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if outcome:
        return outcome[0]
    if failure:
        raise failure[0]
    raise TimeoutError(f"no answer within {seconds:g} s")


def _is_rays(error: Exception) -> bool:
    return isinstance(error, TimeoutError | ConnectionError) or type(error).__module__.startswith("ray.")


def _free_port() -> int:
    # Serve's own proxy stays idle: requests go straight to the replicas. It cannot be left out while
    # direct ingress is on, so it gets a port that troubles nobody.
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


if TYPE_CHECKING:
    _conforms: type[ModelServer] = RayModelServer
