"""The resident supervisor: `python -m mlops.services`.

Written on asyncio rather than on circus: circus starts its watchers one at a time, knows no
dependency between them, no health and no backoff, and respawns in silence against a port that an
orphan holds. What remained of it here would have been `create_subprocess_exec` behind a control
socket that runs any command it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from mlops.entities import RestartCause, ServiceState, ServiceStatus
from mlops.installation import LOOPBACK, write_private
from mlops.logs.files import LogFile
from mlops.logs.reading import LogFolder
from mlops.services import processes
from mlops.services.base import External, Service
from mlops.services.observing import Observer, answers
from mlops.services.on_request import OnRequest

_T = TypeVar("_T")

log = logging.getLogger(__name__)

POLL_STARTING_S = 0.1
POLL_HEALTHY_S = 2.0
UNHEALTHY_PATIENCE_S = 30.0
"""How long a process that lives may fail its probe before it is replaced."""
STABLE_AFTER_S = 30.0
"""Healthy for so long, a service's earlier failures are forgotten."""
MAX_BACKOFF_S = 15.0
BOUND_LOGS_S = 5.0
"""Between two looks at how large the logs are."""
_BACKLOG = 1024


class Supervisor:
    """Keeps the services up until it is told to stop, and writes what it sees to a status file."""

    def __init__(
        self,
        home: Path,
        services: Sequence[Service],
        externals: Sequence[External],
        *,
        logs: Path,
        status_file: Path,
        environment: Mapping[str, str],
        observer: Observer,
    ) -> None:
        self._status_file = status_file
        self._observer = observer
        self._executor = ThreadPoolExecutor(max_workers=4, thread_name_prefix="probe")
        ready = {service.name: asyncio.Event() for service in services}

        def keeper(service: Service) -> _Keeper:
            return _Keeper(service, home, ready, self._executor, logs, environment, observer)

        self._keepers = [
            keeper(service) if service.wanted is None else OnRequest(service.wanted, partial(keeper, service))
            for service in services
        ]
        self._names = [service.name for service in services]
        self._logs = logs
        watches = [_Watch(external, self._executor, observer) for external in externals]
        self._parts: list[_Keeper | OnRequest | _Watch] = [*self._keepers, *watches]

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; leaves no process behind."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)
        await self.run_until(stop)

    async def run_until(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; leaves no process behind."""
        tasks = [asyncio.create_task(part.run()) for part in self._parts]
        tasks += [asyncio.create_task(self._report()), asyncio.create_task(self._bound_logs())]
        stopped = asyncio.create_task(stop.wait())
        log.info("the supervisor runs", extra={"event": "supervisor.running"})
        # A part that fails is a defect of ours: stop everything and say so, rather than half-run.
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in (*tasks, stopped):
            task.cancel()
        self._observer.close()
        outcome = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(keeper.stop() for keeper in self._keepers))
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._status_file.unlink(missing_ok=True)
        log.info("the supervisor stops", extra={"event": "supervisor.stopped"})
        for result in outcome:
            if isinstance(result, Exception):
                raise result

    async def _report(self) -> None:
        while True:
            statuses = [status for part in self._parts if (status := part.status) is not None]
            # A full disk must not end what runs; a line in the log would need the same disk.
            with contextlib.suppress(OSError):
                write_status(self._status_file, statuses)
            self._observer.look()
            starting = any(status.state is ServiceState.STARTING for status in statuses)
            await asyncio.sleep(POLL_STARTING_S if starting else 1.0)

    async def _bound_logs(self) -> None:
        # Only of programs of others: a process of ours does it itself, earlier and without losing a line.
        loop = asyncio.get_running_loop()
        while True:
            for name in self._names:
                await loop.run_in_executor(self._executor, _bound, LogFile(self._logs / f"{name}.log"))
            await asyncio.sleep(BOUND_LOGS_S)


class _End(NamedTuple):
    """Why a life of a process ended."""

    cause: RestartCause
    detail: str


class _Keeper:
    """Keeps one service up: spawn, wait for its answer, watch it, replace it when it dies or is deaf."""

    def __init__(
        self,
        service: Service,
        home: Path,
        ready: Mapping[str, asyncio.Event],
        executor: ThreadPoolExecutor,
        logs: Path,
        environment: Mapping[str, str],
        observer: Observer,
    ) -> None:
        self.name = service.name
        self._service = service
        self._home = home
        self._ready = ready
        self._executor = executor
        self._logs = logs
        self._environment = environment
        self._observer = observer
        self._process: asyncio.subprocess.Process | None = None
        self._listener: socket.socket | None = None
        self._failures = 0
        self.status = ServiceStatus(
            service.name, ServiceState.STARTING, address=service.address, since=datetime.now(UTC)
        )

    async def run(self) -> None:
        """Forever: one life of the process after another."""
        while True:
            for name in self._service.after:
                await self._ready[name].wait()
            cause, problem = await self._live()
            self._observer.restarted(self._service.name, cause, problem)
            self._ready[self._service.name].clear()
            await self._end()
            self.status = replace(self.status, restarts=self.status.restarts + 1, pid=None)
            given_up = self._failures >= 2
            log.error("%s ended: %s", self.name, problem, extra=self._told("service.died", problem=problem))
            self._enter(ServiceState.UNHEALTHY if given_up else ServiceState.STARTING, problem)
            await asyncio.sleep(_backoff(self._failures))

    async def stop(self) -> None:
        """End the process, with all that it started."""
        await self._end()
        log.info("%s is stopped", self.name, extra=self._told("service.stopped"))
        if self._listener is not None:
            self._listener.close()
        self._enter(ServiceState.STOPPED, "")

    async def _end(self) -> None:
        """By its stop signal, then by SIGKILL."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self._service.stop_signal)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self._service.stop_timeout_s)
        await self._clear_away()

    async def _live(self) -> _End:
        """One life; returns why it ended."""
        exited: asyncio.Task[int] | None = None
        try:
            await self._clear_away()
            if self._service.before_spawn is not None:
                await self._in_thread(self._service.before_spawn)
            self._process = await self._spawn()
            self.status = replace(self.status, pid=self._process.pid)
            log.info("%s is started", self.name, extra=self._told("service.started"))
            exited = asyncio.create_task(self._process.wait())
            return await self._watch(exited)
        except Exception as error:  # noqa: BLE001 - a hook that fails ends this life, not the supervisor
            self._failures += 1
            return _End(RestartCause.NOT_STARTED, f"{type(error).__name__}: {error}")
        finally:
            if exited is not None:
                exited.cancel()

    async def _spawn(self) -> asyncio.subprocess.Process:
        handed_on = self._handed_on()
        arguments = [f"--fd={number}" for number in handed_on]
        with LogFile(self._logs / f"{self.name}.log").open() as output:
            return await asyncio.create_subprocess_exec(
                *self._service.command,
                *arguments,
                pass_fds=handed_on,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._service.cwd or self._home,
                env={
                    **self._environment,
                    **self._service.env,
                    **processes.mark(self._home, self._service.name),
                },
                start_new_session=True,
            )

    def _handed_on(self) -> list[int]:
        """The socket that outlives the process, if it is to have one."""
        if self._service.listen_port and self._listener is None:
            address = (LOOPBACK, self._service.listen_port)
            self._listener = socket.create_server(address, backlog=_BACKLOG)
        return [] if self._listener is None else [self._listener.fileno()]

    async def _watch(self, exited: asyncio.Task[int]) -> _End:
        born = last_good = time.monotonic()
        healthy_since: float | None = None
        while True:
            problem = await self._probe_unless(exited)
            now = time.monotonic()
            if exited.done():
                self._failures += 1
                cause = RestartCause.KILLED if exited.result() < 0 else RestartCause.EXITED
                last = LogFolder(self._logs).last_line(self.name)
                return _End(cause, f"exited with {exited.result()}: {last}")
            if problem is None:
                if self.status.state is not ServiceState.HEALTHY:
                    await self._become_ready()
                healthy_since, last_good = healthy_since or now, now
                if now - healthy_since > STABLE_AFTER_S:
                    self._failures = 0
            elif (failed := self._too_long(problem, now, born, last_good, healthy_since)) is not None:
                self._failures += 1
                return _End(RestartCause.SILENT if healthy_since else RestartCause.NOT_STARTED, failed)
            await asyncio.wait([exited], timeout=POLL_HEALTHY_S if problem is None else POLL_STARTING_S)

    def _too_long(
        self, problem: str, now: float, born: float, last_good: float, healthy_since: float | None
    ) -> str | None:
        if healthy_since is None:
            self.status = replace(self.status, detail=problem)
            waited, patience = now - born, self._service.start_timeout_s
        else:
            self._ready[self._service.name].clear()
            if self.status.state is ServiceState.HEALTHY:
                extra = self._told("service.unhealthy", problem=problem)
                log.warning("%s does not answer: %s", self.name, problem, extra=extra)
            self._enter(ServiceState.UNHEALTHY, problem)
            waited, patience = now - last_good, UNHEALTHY_PATIENCE_S
        return f"{problem} (for {waited:.0f} s)" if waited > patience else None

    async def _become_ready(self) -> None:
        if self._service.when_ready is not None:
            await self._in_thread(self._service.when_ready)
        self._ready[self._service.name].set()
        log.info("%s answers", self.name, extra=self._told("service.healthy"))
        self._enter(ServiceState.HEALTHY, "")

    async def _probe_unless(self, exited: asyncio.Task[int]) -> str | None:
        # A question to a process that died may stay unanswered for its whole time-out.
        probe = asyncio.create_task(self._probe())
        await asyncio.wait([exited, probe], return_when=asyncio.FIRST_COMPLETED)
        return probe.result() if probe.done() else "has exited"

    async def _probe(self) -> str | None:
        process = self._process
        if process is None or process.returncode is not None:
            return "has exited"
        return await self._in_thread(lambda: self._service.probe(processes.family(process.pid)))

    async def _clear_away(self) -> None:
        """End what an earlier life, or an earlier supervisor, left of this service."""
        await self._in_thread(lambda: processes.end_all(self._home, self._service.name))

    def _told(self, event: str, **facts: str) -> dict[str, object]:
        seen = {"of": self.name, "pid": self.status.pid, "restarts": self.status.restarts}
        return {"event": event, **seen, **facts}

    def _enter(self, state: ServiceState, detail: str) -> None:
        self.status = _entered(self.status, state, detail)
        self._observer.see(self._service.name, answers(self.status))

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


class _Watch:
    """Probes a server elsewhere."""

    def __init__(self, external: External, executor: ThreadPoolExecutor, observer: Observer) -> None:
        self._external = external
        self._executor = executor
        self._observer = observer
        self.status = ServiceStatus(
            external.name, ServiceState.STARTING, address=external.address, since=datetime.now(UTC)
        )

    async def run(self) -> None:
        """Forever."""
        while True:
            problem = await asyncio.get_running_loop().run_in_executor(self._executor, self._external.probe)
            state = ServiceState.EXTERNAL if problem is None else ServiceState.UNHEALTHY
            self.status = _entered(self.status, state, problem or "")
            self._observer.see(self._external.name, answers(self.status))
            await asyncio.sleep(POLL_HEALTHY_S)


def _bound(file: LogFile) -> None:
    try:
        if file.bound():
            log.info("%s was turned over", file.path.name, extra={"event": "log.turned"})
    except OSError as error:
        log.warning("%s cannot be turned over: %s", file.path.name, error)


def _entered(status: ServiceStatus, state: ServiceState, detail: str) -> ServiceStatus:
    since = status.since if state is status.state else datetime.now(UTC)
    return replace(status, state=state, detail=detail, since=since)


def _backoff(failures: int) -> float:
    """Seconds before the next spawn: at once after the first failure, then 0.5, 1, 2 … 15."""
    return 0.0 if failures <= 1 else min(MAX_BACKOFF_S, 0.25 * 2.0 ** (failures - 1))


def write_status(path: Path, statuses: Sequence[ServiceStatus]) -> None:
    """Write what the supervisor sees, for `mlops.services.status` to read."""
    services = [{**asdict(status), "since": status.since and status.since.isoformat()} for status in statuses]
    write_private(
        path, json.dumps({"pid": os.getpid(), "at": time.time(), "services": services}), durable=False
    )
