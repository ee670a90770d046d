"""The supervisor, over small real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mlops.entities import ServiceState
from mlops.services import processes, supervisor
from mlops.services.base import External, Service
from mlops.services.observing import Observer
from mlops.services.probes import http_probe, port_probe
from mlops.services.supervisor import Supervisor

# A server that answers 200; with an argument, its child holds the port, as MLflow's workers do.
_SERVER = """
import http.server, os, socket, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *args): pass
if sys.argv[2:] == ["child"] and os.fork():
    os.wait()
    sys.exit(1)
inherited = [int(each[5:]) for each in sys.argv if each.startswith("--fd=")]
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler, not inherited)
for number in inherited:
    server.socket = socket.socket(fileno=number)
print("serving", flush=True)
server.serve_forever()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server(name: str, port: int, *arguments: str, **options: object) -> Service:
    return Service(
        name=name,
        command=[sys.executable, "-c", _SERVER, str(port), *arguments],
        probe=http_probe(f"http://127.0.0.1:{port}/", port),
        **options,  # type: ignore[arg-type]
    )


class Stack:
    """A running supervisor and what it reports."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def state(self, name: str) -> dict[str, object]:
        try:
            seen = json.loads((self.home / "status.json").read_text())
        except OSError:
            seen = {"services": []}
        none = {"state": "none", "pid": None, "restarts": 0, "detail": ""}
        return next((row for row in seen["services"] if row["name"] == name), none)

    def names(self) -> list[str]:
        try:
            return [row["name"] for row in json.loads((self.home / "status.json").read_text())["services"]]
        except OSError:
            return []

    async def until_names(self, names: list[str], seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while self.names() != names:
            assert time.monotonic() < deadline, self.names()
            await asyncio.sleep(0.02)

    async def until(
        self, name: str, condition: Callable[[dict[str, object]], bool], seconds: float = 15
    ) -> dict:
        deadline = time.monotonic() + seconds
        while not condition(self.state(name)):
            assert time.monotonic() < deadline, self.state(name)
            await asyncio.sleep(0.02)
        return self.state(name)

    async def healthy(self, name: str) -> dict[str, object]:
        return await self.until(name, lambda seen: seen["state"] == ServiceState.HEALTHY)

    async def restarted(self, name: str) -> dict[str, object]:
        return await self.until(name, lambda seen: seen["restarts"] == 1 and seen["state"] == "healthy")


@asynccontextmanager
async def supervised(
    home: Path, *services: Service, externals: tuple[External, ...] = ()
) -> AsyncIterator[Stack]:
    keeper = Supervisor(
        home,
        services,
        externals,
        logs=home,
        status_file=home / "status.json",
        environment=dict(os.environ),
        observer=Observer(home / "probes"),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(keeper.run_until(stop))
    try:
        yield Stack(home)
    finally:
        stop.set()
        await task
        assert processes.marked(home) == []


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_dependants_start_after_what_they_need(tmp_path: Path) -> None:
    async def test() -> None:
        order: list[str] = []
        first = server("first", free_port(), when_ready=lambda: order.append("first ready"))
        second = server("second", free_port(), after=("first",), before_spawn=lambda: order.append("second"))
        async with supervised(tmp_path, second, first) as stack:
            await stack.healthy("second")
            assert order == ["first ready", "second"]

    run(test)


def test_killed_process_is_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with supervised(tmp_path, server("web", free_port())) as stack:
            pid = (await stack.healthy("web"))["pid"]
            assert isinstance(pid, int)
            os.kill(pid, signal.SIGKILL)
            again = await stack.until(
                "web", lambda seen: seen["restarts"] == 1 and seen["state"] == "healthy"
            )
            assert again["pid"] != pid

    run(test)


def test_callers_of_a_killed_process_with_a_handed_on_socket_wait_and_are_not_turned_away(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        port = free_port()
        async with supervised(tmp_path, server("web", port, listen_port=port)) as stack:
            pid = (await stack.healthy("web"))["pid"]
            assert isinstance(pid, int)
            os.kill(pid, signal.SIGKILL)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert (await asyncio.wait_for(reader.read(), 30)).endswith(b"ok")
            writer.close()
            await stack.restarted("web")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    run(test)


def test_orphans_of_a_killed_parent_are_ended_before_the_respawn(tmp_path: Path) -> None:
    async def test() -> None:
        async with supervised(tmp_path, server("web", free_port(), "child")) as stack:
            pid = (await stack.healthy("web"))["pid"]
            assert isinstance(pid, int)
            (orphan,) = psutil.Process(pid).children()
            os.kill(pid, signal.SIGKILL)
            await stack.restarted("web")
            assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE

    run(test)


def test_foreign_server_on_the_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    async def test() -> None:
        port = free_port()
        foreign = subprocess.Popen([sys.executable, "-c", _SERVER, str(port)], stdout=subprocess.PIPE)
        assert foreign.stdout is not None
        foreign.stdout.readline()
        try:
            async with supervised(tmp_path, server("web", port)) as stack:
                seen = await stack.until("web", lambda seen: seen["state"] == "unhealthy")
                assert "exited with 1" in str(seen["detail"])
                assert "Address already in use" in str(seen["detail"])
        finally:
            foreign.kill()
            foreign.communicate()

    run(test)


def test_deaf_process_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "UNHEALTHY_PATIENCE_S", 0.5)
    monkeypatch.setattr(supervisor, "POLL_HEALTHY_S", 0.1)

    async def test() -> None:
        port = free_port()
        service = replace(
            server("web", port), probe=http_probe(f"http://127.0.0.1:{port}/", port, timeout_s=0.3)
        )
        async with supervised(tmp_path, service) as stack:
            pid = (await stack.healthy("web"))["pid"]
            assert isinstance(pid, int)
            os.kill(pid, signal.SIGSTOP)
            again = await stack.until(
                "web", lambda seen: seen["restarts"] == 1 and seen["state"] == "healthy"
            )
            assert again["pid"] != pid

    run(test)


def test_service_that_cannot_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    async def test() -> None:
        command = [sys.executable, "-c", "raise SystemExit('no database, no server')"]
        service = Service(name="web", command=command, probe=port_probe(free_port()))
        async with supervised(tmp_path, service) as stack:
            seen = await stack.until("web", lambda seen: seen["state"] == "unhealthy")
            assert "no database, no server" in str(seen["detail"])

    run(test)


def test_hook_that_fails_ends_the_life_not_the_supervisor(tmp_path: Path) -> None:
    async def test() -> None:
        failures = iter([True, False])

        def hook() -> None:
            if next(failures, False):
                raise OSError("not yet")

        async with supervised(tmp_path, server("web", free_port(), when_ready=hook)) as stack:
            await stack.restarted("web")

    run(test)


def test_missing_program_is_reported(tmp_path: Path) -> None:
    async def test() -> None:
        service = Service(name="web", command=["/no/such/program"], probe=port_probe(1))
        async with supervised(tmp_path, service) as stack:
            seen = await stack.until("web", lambda seen: seen["state"] == "unhealthy")
            assert "No such file" in str(seen["detail"])

    run(test)


def test_server_elsewhere_is_probed_not_started(tmp_path: Path) -> None:
    async def test() -> None:
        answers = iter(["refused", None])
        elsewhere = External("mlflow", lambda: next(answers, None), "http://elsewhere")
        async with supervised(tmp_path, server("web", free_port()), externals=(elsewhere,)) as stack:
            await stack.until("mlflow", lambda seen: seen["state"] == "unhealthy")
            seen = await stack.until("mlflow", lambda seen: seen["state"] == "external")
            assert seen["pid"] is None

    run(test)


def test_stop_ends_a_process_that_ignores_its_signal(tmp_path: Path) -> None:
    async def test() -> None:
        stubborn = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); exec(sys.argv.pop(1))"
        port = free_port()
        command = [sys.executable, "-c", stubborn, _SERVER, str(port)]
        service = replace(server("web", port), command=command, stop_timeout_s=0.3)
        async with supervised(tmp_path, service) as stack:
            await stack.healthy("web")

    run(test)


def test_log_is_private_and_survives_restarts(tmp_path: Path) -> None:
    async def test() -> None:
        async with supervised(tmp_path, server("web", free_port())) as stack:
            pid = (await stack.healthy("web"))["pid"]
            assert isinstance(pid, int)
            os.kill(pid, signal.SIGKILL)
            await stack.restarted("web")
            log = tmp_path / "web.log"
            assert log.read_text().count("serving") == 2
            assert log.stat().st_mode & 0o077 == 0

    run(test)


def test_status_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = Supervisor(
            tmp_path,
            [server("web", free_port())],
            [],
            logs=tmp_path,
            status_file=tmp_path / "no such folder" / "status.json",
            environment=dict(os.environ),
            observer=Observer(tmp_path / "no such folder" / "probes"),
        )
        stop = asyncio.Event()
        task = asyncio.create_task(keeper.run_until(stop))
        log = tmp_path / "web.log"
        deadline = time.monotonic() + 15
        while not (log.exists() and "serving" in log.read_text()):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert not task.done()
        stop.set()
        await task

    run(test)


def test_a_service_on_request_runs_while_it_is_wanted_and_is_no_part_of_the_stack_else(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        port, wanted = free_port(), tmp_path / "wanted"
        on_request = server("extra", port, wanted=wanted.exists)
        async with supervised(tmp_path, server("web", free_port()), on_request) as stack:
            await stack.healthy("web")
            assert stack.names() == ["web"]
            wanted.touch()
            await stack.until_names(["web", "extra"])
            pid = (await stack.healthy("extra"))["pid"]
            assert isinstance(pid, int)
            os.kill(pid, signal.SIGKILL)
            assert (await stack.restarted("extra"))["pid"] != pid
            wanted.unlink()
            await stack.until_names(["web"])
            assert processes.marked(tmp_path, "extra") == []
            assert stack.state("web")["restarts"] == 0
            wanted.touch()
            await stack.until_names(["web", "extra"])
            assert (await stack.healthy("extra"))["restarts"] == 0, "another request counts anew"

    run(test)
    seen = [json.loads(path.read_text()) for path in (tmp_path / "probes").glob("*.json")]
    restarts = [each["service"] for span in seen for each in span["restarts"]]
    assert restarts == ["extra"], "that it is wanted no more is no restart"


def test_what_nobody_wants_any_more_while_it_starts_is_ended(tmp_path: Path) -> None:
    async def test() -> None:
        wanted = tmp_path / "wanted"
        wanted.touch()
        deaf = Service("deaf", [sys.executable, "-c", "import time; time.sleep(600)"], lambda _: "deaf",
                       wanted=wanted.exists)  # fmt: skip
        async with supervised(tmp_path, deaf) as stack:
            await stack.until("deaf", lambda seen: seen["pid"] is not None)
            wanted.unlink()
            await stack.until_names([])
            assert processes.marked(tmp_path) == []

    run(test)
